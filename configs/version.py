"""The version of twinspire and of its code: parts of every stage's key and of every manifest."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    VERSION = version("twinspire")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0+unknown"

_CODE = ("configs", "towers", "serving", "pipelines")


@cache
def code_version() -> str:
    """Hash of every source file that a result may depend on, 12 hex digits: edited code gives new results."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(path for folder in _CODE for path in (root / folder).rglob("*.py")):
        if "report" not in path.parts:  # it writes no result that a stage keeps
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
