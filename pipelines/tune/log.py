"""What TensorBoard shows of a search: curves by trial, and a table of all of them (its HParams plugin)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from pipelines.events import EventFile, forget_others
from pipelines.tune.space import Knob

_METRICS = {  # tags in each trial's log
    "recall": "trial/validation recall",
    "ndcg": "trial/validation ndcg",
    "loss": "trial/loss",
    "epochs": "trial/epochs",
    "seconds": "trial/seconds",
}


def write_experiment(logs: Path, knobs: Sequence[Knob], k: int, list_k: int) -> None:
    """Say what is searched and measured: the columns of TensorBoard's table."""
    titles = {"recall": f"recall@{k}", "ndcg": f"ndcg@{list_k}"}
    metrics = [hparams.Metric(tag, display_name=titles.get(name, name)) for name, tag in _METRICS.items()]
    searched = [hparams.HParam(knob.key, _domain(knob)) for knob in knobs]
    with EventFile(logs) as file:
        file.add(hparams.hparams_config_pb(searched, metrics))
    forget_others(logs, file.path)


class TrialLog:
    """The log of one trial in a folder of its own; begun anew where there was one."""

    def __init__(self, logs: Path, place: int, values: Mapping[str, Any]) -> None:
        """`values`: numbers and texts by key, as in the domains."""
        folder = logs / f"trial-{place:02}"
        shutil.rmtree(folder, ignore_errors=True)  # of a trial that was killed
        self._file = EventFile(folder)
        self._file.add(hparams.hparams_pb(values, trial_id=folder.name))

    def epoch(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Add the scalars of an epoch, tagged as those of the train stage are."""
        for name, value in scalars.items():
            self._file.add(scalar_pb(f"towers/{name}", value), epoch)

    def end(self, measured: Mapping[str, float], worked: bool) -> None:
        """Add what the table shows: recall, ndcg and loss of the best epoch, epochs and seconds in all."""
        for name, value in measured.items():
            self._file.add(scalar_pb(_METRICS[name], value))
        status = api_pb2.STATUS_SUCCESS if worked else api_pb2.STATUS_FAILURE
        ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ended))
        summary = Summary()
        summary.value.add(tag=metadata.SESSION_END_INFO_TAG, metadata=content, tensor=metadata.NULL_TENSOR)
        self._file.add(summary)

    def __enter__(self) -> TrialLog:
        return self

    def __exit__(self, *raised: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.__exit__(*raised)


def _domain(knob: Knob) -> hparams.Domain:
    domain = knob.domain
    if isinstance(domain, IntDistribution):
        return hparams.IntInterval(domain.low, domain.high)
    if isinstance(domain, FloatDistribution):
        return hparams.RealInterval(domain.low, domain.high)
    return hparams.Discrete(knob.choices)
