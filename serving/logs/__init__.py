"""Logs of a server as Parquet files: events, to train on, and exposures, to judge by.

Rows wait in memory and are written as whole files, by rename, after `seconds` or when there are `rows`; what begins
with "." is no file yet. A process that is killed loses what waits: what came in the last `seconds`, and at most `rows`,
if the disk is sound. A disk that is full or a folder that cannot be made costs no answer: up to ten times `rows` wait
on, and what comes beyond that is counted and dropped.
"""

from serving.logs.early import EarlyLog, hand_over_early
from serving.logs.events import EventLog
from serving.logs.exposures import NOT_SERVED, Exposure, ExposureLog
from serving.logs.parquet import LogCounts

__all__ = ["NOT_SERVED", "EarlyLog", "EventLog", "Exposure", "ExposureLog", "LogCounts", "hand_over_early"]
