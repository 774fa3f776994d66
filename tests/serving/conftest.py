"""The tiny recommenders, built and exported once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving import small


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
def exact_bundle(exact, tmp_path_factory) -> Path:
    """Not to be changed; `small.copy` makes one that may be."""
    return small.export(exact, tmp_path_factory.mktemp("exact") / "bundle")


@pytest.fixture(scope="session")
def scann_bundle(scann, tmp_path_factory) -> Path:
    return small.export(scann, tmp_path_factory.mktemp("scann") / "bundle")
