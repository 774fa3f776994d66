"""Configs: what ships parses, overrides apply, and every error names key, value and expectation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from configs.errors import ConfigError
from configs.experiments import Arm
from configs.features import Feature
from configs.load import builtin, fingerprint, load, parse
from configs.schema import Config
from configs.serving import Serving
from configs.tuning import Range

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


KINDS = {feature.model_fields["kind"].annotation.__args__[0]: feature for feature in get_args(get_args(Feature)[0])}
_OF_ANY_KIND = {"name", "table", "kind", "column", "dimension"}


def keys(section: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a section and of those in it, dotted, but lists of tables."""
    for name, field in section.model_fields.items():
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        inner = [one for one in inner if issubclass(one, BaseModel)]
        if inner:
            yield from keys(inner[0], f"{above}{name}.")
        elif field.annotation != tuple[Feature, ...]:
            yield f"{above}{name}", field


def shown() -> dict[str, Any]:
    """Each key of the template and its value, whether its line is commented or not; features by their kind."""
    found: dict[str, Any] = {}
    section, feature = "", {}
    for line in builtin("own-data").read_text(encoding="utf-8").splitlines():
        bare = line.removeprefix("# ")
        if header := re.match(r"(\[\[?)([a-z.]+)\]", bare):
            section, feature = header[2], {}
        elif key := re.match(r"(\w+) = ", bare):
            value = tomllib.loads(bare)[key[1]]
            feature |= {key[1]: value}
            where = feature.get("kind") if section == "features" else section
            found[f"{where}.{key[1]}".removeprefix(".")] = value
    return found


def test_the_template_shows_every_key_and_its_default() -> None:
    template = shown()
    assert {key for key, _ in keys(Config)} - set(template) == set()
    wrong = {}
    for key, field in keys(Config):
        default = None if field.is_required() else to_jsonable_python(field.default)
        if default not in (None, [], {}) and template[key] != default:  # else it shows an example
            wrong[key] = (template[key], default)
    assert wrong == {}


def test_the_template_shows_every_kind_of_feature_with_its_keys() -> None:
    template = shown()
    assert {key.removesuffix(".kind") for key in template if key.endswith(".kind")} >= {*KINDS}
    for kind, feature in KINDS.items():
        own = {f"{kind}.{name}" for name in feature.model_fields if name not in _OF_ANY_KIND}
        assert own - set(template) == set()
    assert template["id.dimension"] == KINDS["id"].model_fields["dimension"].default
    assert template["category.dimension"] == KINDS["category"].model_fields["dimension"].default


def _plain(kind: type, annotation: Any) -> bool:
    """Whether a field, or what it holds, is of a plain type, such as bool."""
    return annotation is kind or any(_plain(kind, inner) for inner in get_args(annotation))


def _held(annotation: Any, value: Any) -> Any:
    """The value as such a field holds it: bare, in a list or in a table."""
    return {tuple: [value], dict: {"view": value}}.get(get_origin(annotation), value)


SECTIONS = {"run": Config, "serve": Serving, "range": Range, "arm": Arm, **KINDS}
FIELDS = [(section, key, field) for section, of in SECTIONS.items() for key, field in keys(of)]


@pytest.mark.parametrize(
    ("section", "key", "field"),
    [one for one in FIELDS if any(_plain(kind, one[2].annotation) for kind in (int, float))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_true_is_no_number(section: str, key: str, field: FieldInfo) -> None:
    assert _errors(section, key, _held(field.annotation, True)) >= {key}


@pytest.mark.parametrize(
    ("section", "key", "field"),
    [one for one in FIELDS if _plain(bool, one[2].annotation)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_text_is_no_switch(section: str, key: str, field: FieldInfo) -> None:
    assert _errors(section, key, "yes") >= {key}
    assert _errors(section, key, 1) >= {key}


def _errors(section: str, key: str, value: Any) -> set[str]:
    """Dotted keys that are refused where `key` alone is given."""
    for part in reversed(key.split(".")):
        value = {part: value}
    with pytest.raises(ValidationError) as caught:
        SECTIONS[section].model_validate(value)
    found = [[str(part) for part in error["loc"]] for error in caught.value.errors() if error["type"] != "missing"]
    return {".".join(loc[: len(key.split("."))]) for loc in found}


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
        ("train.batch=0", "--set train.batch=0: train.batch: found 0; input should be greater than 0"),
        ("train.gbce_t=0.5", "demo.toml with --set train.gbce_t=0.5: train: gbce_t = 0.5 does nothing"),
        ("gate.k=500", "demo.toml with --set gate.k=500: index.candidates = 100 is below gate.k = 500"),
        ("features.0.dropout=0.5", "--set: features.0.dropout: features is a list of tables, which --set cannot reach"),
    ],
)
def test_bad_overrides_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(builtin("demo"), [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_several_overrides_the_one_at_fault_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(builtin("demo").read_text().replace("seed = 7", "seed = -7"))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "own.toml", ["train.batch=8", "train.patience=0", "towers.top=dcn"])
    assert str(caught.value) == (
        f"{tmp_path / 'own.toml'}: seed: found -7; input should be greater than or equal to 0; "
        "--set train.patience=0: train.patience: found 0; input should be greater than 0"
    )


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
        ({"train": {"weighted": "yes"}}, "train.weighted: found 'yes'; input should be a valid boolean"),
        (
            {"train": {"batch": 10**20}},
            f"train.batch: found {10**20}; input should be less than or equal to {2**31 - 1}",
        ),
        (
            {"train": {"horizon": f"{10**15 - 1}d"}},
            "'999999999999999d' is not a positive duration of at most 1000 years",
        ),
        (
            {"trend": {"windows": ["7d", f"{10**17}d"]}},
            "trend.windows.1: '100000000000000000d' is not a positive duration",
        ),
        ({"trend": {"bucket": 10**17}}, f"not a positive duration of at most {2**53} order steps"),
        ({"split": {"test": [0.9]}}, "split.test: found [0.9], expected a share such as 0.8, or an ISO date"),
        ({"split": {"test": True}}, "split.test: found true, expected a share"),
        ({"data": data(events={"kind": "k", "weights": {"v": 1e300}})}, "weights must be above 0, from 1e-09 to 1e+09"),
        (
            {"data": data(events={"kind": "k", "weights": {"v": 1e-300}})},
            "weights must be above 0, from 1e-09 to 1e+09",
        ),
        (
            {"train": {"max_epochs": 3, "negatives": {"hard": 9, "hard_from": 4}}},
            "train: negatives.hard_from = 4 is after the last epoch, so that nothing is mined: expected at most",
        ),
        (
            {"train": {"cold_items": 0.2}},
            "train.cold_items = 0.2 does nothing where items have no feature but their own",
        ),
        ({"train": {"cold_weight": 1.0}}, "train.cold_weight = 1.0 does nothing where items have no feature but their"),
        ({"mixing": {"segments": 8}}, "mixing.segments = 8 does nothing where no data.segment is named, expected 32"),
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


def test_one_mistake_is_one_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values(train={"horizon": 7.5}))
    assert str(caught.value) == (
        'config: train.horizon: found 7.5, expected a duration, e.g. "7d", "12h", "30m", or whole order steps'
    )


def test_what_is_not_idle_is_accepted() -> None:
    shelf = {"name": "shelf", "table": "items", "kind": "category"}
    other = {"name": "other", "column": "brand", "table": "items", "kind": "id"}
    for feature in (shelf, other):
        assert (
            parse(values(train={"cold_items": 0.2}, features=[*values()["features"], feature])).train.cold_items == 0.2
        )
    assert parse(values(train={"cold_items": 0})).train.cold_items == 0  # as it is
    negatives = {"hard": 0, "hard_from": 40}
    assert parse(values(train={"negatives": negatives})).train.negatives.hard_from == 40
    assert parse(values(trend={"bucket": 1e6})).trend.bucket == 1_000_000


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
