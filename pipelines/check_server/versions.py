"""Which TensorFlow loads what another one wrote.

A SavedModel loads in the version that wrote it and in later ones of the same major; the other way round nothing is
promised (https://www.tensorflow.org/guide/versions).
"""

from __future__ import annotations

import re

from pipelines.check_server.findings import Finding


def compared(found: str, wrote: str) -> Finding:
    """A server's version of TensorFlow against the one that wrote the export."""
    (major, minor), (wrote_major, wrote_minor) = _release(found), _release(wrote)
    if major == wrote_major and minor >= wrote_minor:
        return Finding("TensorFlow", "ok", f"{found}; {wrote} wrote the export")
    relation = "is older than" if (major, minor) < (wrote_major, wrote_minor) else "is of another major than"
    return Finding("TensorFlow", "cannot tell", f"{found} {relation} {wrote}, which wrote the export; it may load")


def _release(version: str) -> tuple[int, int]:
    major, minor = re.findall("[0-9]+", version)[:2]
    return int(major), int(minor)
