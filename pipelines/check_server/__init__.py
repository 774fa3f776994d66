"""Preflight: can a server load an export, and if not, which one can it load."""

from pipelines.check_server.check import check_server
from pipelines.check_server.findings import Finding, Preflight, PreflightError

__all__ = ["Finding", "Preflight", "PreflightError", "check_server"]
