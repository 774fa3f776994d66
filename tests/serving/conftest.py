"""The tiny recommenders, built and exported once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving import small
from tests.serving.exports import exported

if TYPE_CHECKING:
    from tests.serving.tfserving.live import Live


@pytest.fixture(scope="session", params=["exact", "scann", "ivf"])
def each(request) -> small.Small:
    """The tiny recommender behind each searcher."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def exact() -> small.Small:
    return small.build("exact")


@pytest.fixture(scope="session")
def scann() -> small.Small:
    return small.build("scann")


@pytest.fixture(scope="session")
def ivf() -> small.Small:
    return small.build("ivf")


@pytest.fixture(scope="session")
def exact_bundle(tmp_path_factory) -> Path:
    """Not to be changed; `small.copy` makes one that may be."""
    return exported("exact", tmp_path_factory)


@pytest.fixture(scope="session")
def scann_bundle(tmp_path_factory) -> Path:
    return exported("scann", tmp_path_factory)


@pytest.fixture(scope="package")
def examples(tmp_path_factory) -> Iterator[Live]:
    """A server of the model of TF Serving's documented examples: version 123, and 124 that adds four, not three."""
    from tests.serving.tfserving import toy
    from tests.serving.tfserving.live import serve

    folder = tmp_path_factory.mktemp("toy")
    folders = {123: toy.export(folder / "123"), 124: toy.export(folder / "124", plus=4.0)}
    with serve("half_plus_three", folders, {"stable": 123, "canary": 124, "gone": 7}) as live:
        yield live


@pytest.fixture(scope="package")
def live_bundle(exact_bundle) -> Iterator[Live]:
    """A server of a real bundle, by TF Serving's interfaces alone."""
    from tests.serving.tfserving.live import serve

    with serve("small", {1: exact_bundle}, {}) as live:
        yield live
