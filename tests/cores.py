"""The machine's cores, shared out between the workers of pytest-xdist.

Libraries start a thread for every core, and a thread that waits for its siblings spins: where two processes do so on
two cores, each burns what the other needs. Measured: a small world's baselines 3.3 CPU seconds, with one thread 0.8.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def share_cores(environment: MutableMapping[str, str]) -> None:
    """Limit the threads of a worker, and of the processes it starts, to its share; before any library is imported.

    What is set already stays, and tests that run alone have every core.
    """
    workers = int(environment.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        for name in LIMITS:
            environment.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))


def with_every_core() -> dict[str, str]:
    """The environment of a process that is to have the threads that it has outside of tests."""
    return {name: value for name, value in os.environ.items() if name not in LIMITS}
