"""Exports as tests of the preflight need them, without a graph."""

from __future__ import annotations

from pathlib import Path

from pipelines.check_server.needs import Needs

SEARCH = "Scann>ScannSearchBatched"


def needs(folder: Path = Path("/models/shop/3"), operations: tuple[str, ...] = ("AddV2", SEARCH)) -> Needs:
    """Version 3 of a shop's model, with one signature."""
    manifest = {"name": "shop", "searcher": "scann", "signatures": {"recommend": {"inputs": {"history": {}, "k": {}}}}}
    return Needs(folder, "shop", 3, manifest, frozenset(operations), "2.20.0")
