"""twinspire as a library: what the command line does, as functions.

import twinspire

config = twinspire.load_config("configs/demo.toml", ["seed=1"])
outcome = twinspire.run(config)
twinspire.load_bundle(outcome.published).recommend("u000001", k=10)
"""

from configs.errors import UserError
from configs.load import load as load_config
from configs.schema import Config
from configs.version import VERSION as __version__
from pipelines.run import Outcome, run
from serving.bundle import Bundle, Recommendation, load_bundle

__all__ = [
    "Bundle",
    "Config",
    "Outcome",
    "Recommendation",
    "UserError",
    "__version__",
    "load_bundle",
    "load_config",
    "run",
]
