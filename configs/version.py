"""The version of twinspire: named once, part of every stage's key and of every manifest."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("twinspire")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0+unknown"
