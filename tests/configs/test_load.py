"""Configs: what ships parses, overrides apply, and every error names key, value and expectation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from configs.data import Data, EventTable, ItemTable, QueryTable
from configs.errors import ConfigError
from configs.features import (
    CategoryFeature,
    IdFeature,
    MultiCategoryFeature,
    NumberFeature,
    TextFeature,
    TimeFeature,
    VectorFeature,
)
from configs.load import builtin, fingerprint, load, parse

SHIPPED = sorted(path.stem for path in Path(builtin("demo")).parent.glob("*.toml"))


def values(**changes: Any) -> dict[str, Any]:
    """The least config, with sections replaced."""
    least: dict[str, Any] = {
        "name": "t",
        "data": {
            "source": "simulated",
            "events": {"query": "q", "item": "i", "time": "t", "meaning": "took it"},
            "items": {"id": "i"},
        },
        "features": [{"name": "i", "table": "items", "kind": "id"}],
    }
    return {**least, **changes}


def data(**changes: Any) -> dict[str, Any]:
    section = values()["data"]
    for key, value in changes.items():
        section[key] = {**section.get(key, {}), **value} if isinstance(value, dict) else value
    return section


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_parse(name: str) -> None:
    assert load(builtin(name)).on("items")


def test_the_template_shows_every_key_of_data_and_features() -> None:
    text = builtin("own-data").read_text(encoding="utf-8")
    sections: list[type[BaseModel]] = [EventTable, ItemTable, QueryTable, Data]
    features: list[type[BaseModel]] = [
        IdFeature,
        CategoryFeature,
        MultiCategoryFeature,
        NumberFeature,
        TextFeature,
        TimeFeature,
        VectorFeature,
    ]
    keys = {key for section in (*sections, *features) for key in section.model_fields}
    missing = {key for key in keys - {"simulated_events"} if f"{key} = " not in text and f"data.{key}" not in text}
    assert missing == set()
    for feature in features:
        assert f'kind = "{feature.model_fields["kind"].annotation.__args__[0]}"' in text  # type: ignore[union-attr]


def test_commented_keys_of_the_template_are_valid_when_uncommented(tmp_path: Path) -> None:
    text = builtin("own-data").read_text(encoding="utf-8")
    # Every "# key = value" and "# [[features]]" becomes live, except the alternative to `time`.
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        live = bare != line and (
            (" = " in bare.split("#")[0] and bare.split(" = ")[0].isidentifier()) or bare.startswith("[[")
        )
        lines.append(bare if live and not bare.startswith("order = ") else line)
    (tmp_path / "all.toml").write_text("\n".join(lines), encoding="utf-8")
    config = load(tmp_path / "all.toml")
    assert {feature.kind for feature in config.features} == {
        "id", "category", "multi_category", "number", "text", "time", "vector",
    }  # fmt: skip
    assert config.data.segment == "country"


def test_overrides_take_toml_values_and_bare_words() -> None:
    config = load(builtin("demo"), ["towers.embedding_dim=32", "data.path=/some where", "train.negatives.logq=false"])
    assert config.towers.embedding_dim == 32
    assert config.data.path == Path("/some where")
    assert config.train.negatives.logq is False
    assert fingerprint(config) != fingerprint(load(builtin("demo")))
    assert fingerprint(load(builtin("demo"))) == fingerprint(load(builtin("demo")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("towers.embedding_dim", "--set: found 'towers.embedding_dim', expected key=value"),
        ("name.first=x", "--set: name.first: name is not a section"),
        ("towers.width=3", "towers.width: unknown key"),
        ("towers.embedding_dim=wide", "towers.embedding_dim: found 'wide'"),
    ],
)
def test_bad_overrides_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(builtin("demo"), [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": data(events={"order": "o"})}, "exactly one of time"),
        ({"data": data(events={"kind": "k"})}, "kind and weights go together"),
        ({"train": {"negatives": {"in_batch": 0, "uniform": 0}}}, "are all 0, expected at least one above 0"),
        ({"train": {"negatives": {"in_batch": 0, "uniform": 0, "hard": 9}}}, "hard = 9 alone leaves the epochs before"),
        ({"train": {"negatives": {"in_batch": 0, "memory": 9}}}, "memory = 9 needs in_batch or popular above 0"),
        ({"towers": {"temperature": 20, "learn_temperature": True}}, "temperature = 20.0, expected 0.01 to 10 where"),
        ({"towers": {"history": {"encoder": "mean", "convolution": 3}}}, "convolution = 3 does nothing where encoder"),
        ({"towers": {"history": {"encoder": "gru", "scaled": True}}}, "scaled = True does nothing where encoder"),
        (
            {"towers": {"history": {"encoder": "none", "items": "id"}}},
            "items = 'id' does nothing where encoder = 'none'",
        ),
        (
            {"towers": {"history": {"encoder": "gru", "position": "none"}}},
            "position = 'none' does nothing where encoder",
        ),
        ({"towers": {"cross_layers": 3}}, 'cross_layers = 3 does nothing where top = "mlp", expected 2'),
        ({"train": {"target": "next", "horizon": "7d"}}, "horizon = '7d' does nothing where target = \"next\""),
        ({"train": {"gbce_t": 0.5}}, 'train: gbce_t = 0.5 does nothing where loss = "softmax", expected 0.75'),
        (
            {"train": {"loss": "gbce", "gbce_t": 1.5}},
            "train.gbce_t: found 1.5; input should be less than or equal to 1",
        ),
        (
            {"train": {"loss": "gbce"}},
            'train: loss = "gbce" takes evenly drawn negatives and no logQ: expected negatives.in_batch = 0, '
            "negatives.logq = false, found 1024, true",
        ),
        *(
            (
                {"train": {"loss": "gbce", "negatives": {"in_batch": 0, "logq": False, source: 9}}},
                f"{source} = 0, found 9",
            )
            for source in ("popular", "hard")
        ),
        ({"data": data(events={"kind": "k", "weights": {"v": 0}})}, "weights must be above 0"),
        ({"data": data(source="tables")}, 'path is needed for source = "tables"'),
        ({"data": data(source="tables", path="x")}, "events.path is needed"),
        ({"data": data(segment="region")}, "data.segment: 'region' is no category feature"),
        ({"features": []}, "none describes items"),
        ({"features": [{"name": n, "table": "items", "kind": "text"} for n in ("a", "A")]}, "the name 'a' is used 2"),
        ({"features": [{"name": "Kind", "table": "items", "kind": "text"}]}, "'kind' is reserved"),
        ({"features": [{"name": "m", "table": "items", "kind": "time"}]}, "features.0.table"),
        ({"split": {"test": 0.7}}, "expected validation < ranker < test"),
        ({"split": {"test": "soon"}}, "neither a quantile nor an ISO date"),
        ({"seed": 2**32}, f"seed: found {2**32}; input should be less than or equal to {2**31 - 1}"),
        ({"tune": {"seed": 2**32}}, f"tune.seed: found {2**32}; input should be less than or equal to"),
        ({"train": {"horizon": True}}, "train.horizon: found true, expected a duration"),
        ({"trend": {"windows": [False]}}, "trend.windows.0: found false, expected a duration"),
        ({"train": {"batch": True}}, "train.batch: found true, expected a number"),
        *(
            ({"train": {"negatives": {source: 3 * 10**9}}}, f"{source}: found 3000000000; input should be less than")
            for source in ("in_batch", "uniform", "popular", "hard", "memory")
        ),
        ({"gate": {"k": 200}}, "index.candidates = 100 is below gate.k = 200"),
        ({"trend": {"bucket": "1 day"}}, "'1 day' is not a duration"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values(**changes))
    assert message in str(caught.value)


def test_the_largest_seed_and_the_next_one_can_be_drawn_from() -> None:
    seed = parse(values(seed=2**31 - 1)).seed
    for one in (seed, seed + 1):
        np.random.RandomState(one)


def test_clock_features_need_a_clock() -> None:
    features = [*values()["features"], {"name": "m", "table": "events", "kind": "time"}]
    with pytest.raises(ConfigError, match="'m' needs a clock"):
        parse(values(data=data(events={"time": None, "order": "o"}), features=features))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml is not there; expected a TOML file"):
        load(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load(tmp_path / "bad.toml")
