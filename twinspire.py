"""twinspire as a library: what the command line does, as functions.

    import twinspire

    config = twinspire.load_config("configs/demo.toml", ["seed=1"])
    outcome = twinspire.run(config)
    twinspire.load_bundle(outcome.published).recommend("u000001", k=10)

`run` does everything; `open_run` with `run_until(work, "train", progress)`, `publish_run` and `report_run` do it in
steps. `load_bundle` needs no TensorFlow; the other functions import it when they come to it.
"""

import towers  # noqa: F401 - asks for Keras 2 before anything imports TensorFlow
from configs.errors import UserError
from configs.load import builtin
from configs.load import load as load_config
from configs.schema import Config
from configs.version import VERSION as __version__
from pipelines.download import download
from pipelines.progress import Progress
from pipelines.run import Outcome, open_run, publish_run, report_run, run, run_until
from serving.bundle import Bundle, Recommendation, load_bundle

__all__ = [
    "Bundle",
    "Config",
    "Outcome",
    "Progress",
    "Recommendation",
    "UserError",
    "__version__",
    "builtin",
    "download",
    "load_bundle",
    "load_config",
    "open_run",
    "publish_run",
    "report_run",
    "run",
    "run_until",
]
