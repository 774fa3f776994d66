"""Items put into a published bundle: held against a bundle that was built with them in the first place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from pipelines.publish import publish
from pipelines.upsert import upsert
from serving.bundle import load_bundle
from serving.golden import check_golden
from serving.manifest import versions
from serving.searchers import build_searcher
from serving.variables import read_variables, write_variables
from tests.serving import small
from tests.serving.exports import exported
from tests.serving.small import IDS, ITEMS, UNINDEXED, inputs_of, lists

ALL = ITEMS + 10  # longer than any list can be
pytestmark = pytest.mark.slow

NEW = ["new", "neu|1", "später"]


@pytest.fixture(scope="module", params=["exact", "scann", "ivf"])
def each(request, tmp_path_factory) -> Path:
    """A bundle; not to be changed."""
    return exported(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> Path:
    return exported("exact", tmp_path_factory)


@pytest.fixture
def model(exact, tmp_path) -> Path:
    """A model's folder with one version."""
    return small.copy(exact, tmp_path / "small" / "1").parent


def table(path: Path, ids: list[str], seed: int = 1, **columns) -> Path:
    """An item table with random features for these ids."""
    rng, rows = np.random.default_rng(seed), len(ids)
    frame = {
        "item": ids,
        "item_id": ids,
        "genre": rng.choice(["drama", "comedy", "western", None], rows),
        "tags": [["a", "b"][: rng.integers(0, 3)] for _ in ids],
        "price": rng.uniform(0, 100, rows).astype(np.float32),
        "text": rng.choice(["a big one", "words never seen"], rows),
        "image": list(rng.normal(size=(rows, 3)).astype(np.float32)),
        "stock": ["yes"] * rows,
        "region": [["moon"]] * rows,
    }
    pd.DataFrame(frame | columns).to_parquet(path)
    return path


def answers(model: Path, signature: str = "retrieve", **inputs) -> list[list[str]]:
    bundle = load_bundle(model)
    asked = small.retrieving(inputs_of([["i20", "i21"], [], ["i40"]], ALL)) | inputs
    return lists(bundle.run(signature, asked))


def rebuilt(model: Path, tmp_path: Path) -> Path:
    """The newest version with everything that may be shown in its delta, and nothing in its index: what is exact."""
    folder = small.copy(model / str(versions(model)[-1]), tmp_path / "exact" / "1")
    variables = read_variables(folder)
    rows = np.flatnonzero(variables["retrieval/listed"]).astype(np.int32)
    parts = [variables[f"retrieval/{name}"][rows] for name in ("static", "trend", "mixed")]
    variables |= {"retrieval/delta": rows, "retrieval/delta_vectors": np.concatenate(parts, axis=1)}
    variables["retrieval/replaced"] = np.ones_like(variables["retrieval/replaced"])
    variables["retrieval/current"] = np.float32(0.5)
    write_variables(folder, variables)
    manifest = {key: value for key, value in load_bundle(model).manifest.items() if key not in ("files", "id")}
    (folder / "manifest.json").unlink()
    small.seal(folder, manifest)
    return folder


def test_new_changed_and_removed_items_are_served_as_if_they_had_been_indexed(each, tmp_path):
    model = small.copy(each, tmp_path / "small" / "1").parent
    before = answers(model)
    changed = [item for item in before[0][:20] if item != "i22"][:4]
    done = upsert(model, table(tmp_path / "t.parquet", [*NEW, *changed]), ["i22", "i30"])
    assert (done.version.name, done.outcome.added, done.outcome.changed, done.outcome.removed) == ("2", 3, 4, 2)
    assert (done.outcome.delta, done.outcome.indexed) == (7, ITEMS - len(UNINDEXED))
    assert done.outcome.drift > 0
    after = answers(model)
    assert [set(one) for one in after] == [set(one) - {"i22", "i30"} | {*NEW} for one in before]
    assert after == answers(rebuilt(model, tmp_path))
    assert all(item in lists(load_bundle(model).run("recommend", inputs_of([["i20"]], ALL)))[0] for item in NEW)


def test_what_is_new_is_known_everywhere(model, tmp_path):
    upsert(model, table(tmp_path / "t.parquet", NEW))
    bundle = load_bundle(model)
    assert bundle.manifest["items"] == ITEMS + 3
    assert bundle.state.titles(NEW) == {item: item for item in NEW}
    assert {one.item for one in bundle.similar("new", ITEMS)} >= {*NEW} - {"new"}
    only_new = {"region": ["moon"]}
    assert {one.item for one in bundle.recommend("u1", 10, filters=only_new)} == {*NEW}
    assert {one.item for one in bundle.recommend("u1", 10, filters=only_new, exclude=["new"])} == {*NEW} - {"new"}
    history = bundle.recommend(history=["new"], k=ITEMS)
    assert history != bundle.recommend(history=["nobody"], k=ITEMS)
    assert "new" not in {one.item for one in history}
    check_golden(bundle)


def test_attributes_alone_leave_the_index_as_it_is(model, tmp_path):
    items, rows = small.tables(np.random.default_rng(0))[0], [IDS.index("i50"), IDS.index("i51")]
    same = {name: list(column[rows]) for name, column in items.items()}
    done = upsert(model, table(tmp_path / "t.parquet", ["i50", "i51"], **same))
    assert (done.outcome.added, done.outcome.changed, done.outcome.delta) == (0, 0, 0)
    found = load_bundle(model).recommend("u1", 10, filters={"region": ["moon"]})
    assert {one.item for one in found} == {"i50", "i51"}


def test_what_was_removed_can_come_back_and_what_changed_can_change_again(model, tmp_path):
    upsert(model, table(tmp_path / "a.parquet", ["i50", "new"]), ["i51"])
    upsert(model, None, ["new"])
    assert not {"i51", "new"} & {*answers(model)[1]}
    done = upsert(model, table(tmp_path / "b.parquet", ["i50", "i51", "new"], seed=2))
    assert (done.version.name, done.outcome.added, done.outcome.delta) == ("4", 0, 3)
    assert {"i50", "i51", "new"} <= {*answers(model)[1]}
    assert answers(model) == answers(rebuilt(model, tmp_path))
    assert [versions(model), load_bundle(model).manifest["upsert"]["delta"]] == [[1, 2, 3, 4], 3]


def refused(model: Path, said: str, *arguments, **named) -> None:
    """Refused in one line, and nothing is left behind."""
    before = sorted(model.iterdir())
    with pytest.raises(UserError, match=said) as error:
        upsert(model, *arguments, **named)
    assert "\n" not in str(error.value)
    assert sorted(model.iterdir()) == before


def test_what_cannot_be_put_in_is_refused_and_nothing_is_published(model, tmp_path):
    write = lambda **columns: table(tmp_path / "t.parquet", ["new", "neu"], **columns)  # noqa: E731
    refused(model, "remove: found 'nobody', expected ids", None, ["i20", "nobody"])
    refused(model, "1 rows that cannot be used; row 1: no item id", write(item=["new", None]))
    refused(model, "data.items.id: .* holds 2 rows with the id 'new'", write(item=["new", "new"]))
    refused(model, "feature 'price'.*1 of 2 rows", write(price=[1.0, None]))
    refused(model, "feature 'image'.*3 numbers a row", write(image=[[1.0, 2.0], [1.0, 2.0, 3.0]]))
    refused(model, "no table at .*nowhere", tmp_path / "nowhere.csv")
    pd.DataFrame({"item": ["new"]}).to_csv(tmp_path / "short.csv")
    refused(model, "has no column", tmp_path / "short.csv")
    plain = tmp_path / "popular" / "1"
    plain.mkdir(parents=True)
    small.seal(plain, {"signatures": {"recommend": {}}, "config": small.CONFIG})
    with pytest.raises(UserError, match="holds no towers that embed items"):
        upsert(plain, write())


@pytest.mark.parametrize("image", [[3e38, 3e38, -3e38]])
def test_an_item_without_a_finite_vector_is_refused(model, tmp_path, image):
    ids = ["new", "i50"]
    refused(model, "item 'new' has features beyond reason", table(tmp_path / "t.parquet", ids, image=[image, image]))


def test_an_item_cannot_be_put_in_and_removed_at_once(model, tmp_path):
    refused(model, "remove: found 'new', which is put in too", table(tmp_path / "t.parquet", NEW), ["i20", "new"])


def test_what_is_not_available_yet_waits(model, tmp_path, monkeypatch):
    done = upsert(model, table(tmp_path / "t.parquet", NEW))
    assert done.outcome.waiting == 0
    monkeypatch.setattr("pipelines.upsert.available", lambda config, table, now: np.array([False, True, False]))
    done = upsert(model, table(tmp_path / "t.parquet", NEW))
    assert (done.outcome.waiting, done.outcome.delta) == (2, 1)
    assert {*NEW} & {*answers(model)[1]} == {NEW[1]}


def test_removing_twice_counts_once(model):
    assert upsert(model, None, ["i50", "i50"]).outcome.removed == 1
    assert upsert(model, None, ["i50"]).outcome.removed == 0


def test_a_model_that_reads_ids_takes_a_new_one_for_unknown(tmp_path):
    history = {"length": small.LENGTH, "layers": 1, "heads": 2, "items": "id"}
    small.export(small.build("exact", history=history), tmp_path / "small" / "1")
    model = tmp_path / "small"
    upsert(model, table(tmp_path / "t.parquet", NEW))
    asked = small.retrieving(inputs_of([["i20", "new"], ["i40"], ["i20"]], ALL))
    found = lists(load_bundle(model).run("retrieve", asked))
    assert set(found[0]) == set(found[2]) - {"new"}
    assert "new" in found[1]


def test_a_version_by_a_relative_path_and_a_bundle_that_was_not_published(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model / "1")
    assert upsert(Path(), None, ["i50"]).version == model.resolve() / "2"
    small.copy(model / "2", tmp_path / "runs" / "export" / "bundle")
    with pytest.raises(UserError, match=r"is not the newest published version, .*export holds none"):
        upsert(tmp_path / "runs" / "export" / "bundle", None, ["i51"])


def test_of_two_at_once_the_second_is_refused(model, monkeypatch):
    monkeypatch.setattr("pipelines.upsert.answer_golden", lambda bundle: small.copy(model / "1", model / "2"))
    with pytest.raises(UserError, match="is not the newest published version"):
        upsert(model, None, ["i50"])
    assert versions(model) == [1, 2]
    assert [path.name for path in model.iterdir() if path.name.startswith(".partial")] == []


def test_publishing_the_same_run_again_keeps_what_was_put_in(model, exact, tmp_path):
    upsert(model, table(tmp_path / "t.parquet", NEW))
    assert publish(exact, model.parent) == model / "2"


def test_an_older_version_is_refused_as_its_successors_items_would_be_lost(model, tmp_path):
    upsert(model, table(tmp_path / "t.parquet", NEW))
    refused_version = model / "1"
    with pytest.raises(UserError, match=r"is not the newest published version, .*small/2 is"):
        upsert(refused_version, table(tmp_path / "t.parquet", ["more"]))
    assert versions(model) == [1, 2]


MANY = [f"new{n}" for n in range(9)]


def test_what_passes_the_size_of_a_delta_is_taken_into_the_index(each, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.compaction._FREE", 2)
    model = small.copy(each, tmp_path / "small" / "1").parent
    few = upsert(model, table(tmp_path / "t.parquet", [*NEW, "i20"]), ["i22"])  # 4 beside it; 7 are allowed
    assert (few.outcome.delta, few.recall) == (4, None)
    done = upsert(model, table(tmp_path / "t.parquet", MANY, seed=2), ["i30"])
    assert (done.outcome.delta, done.outcome.indexed) == (0, ITEMS - len(UNINDEXED) - 2 + len(NEW) + len(MANY))
    assert done.recall is not None
    assert (done.recall.mean, done.recall.n) == (1.0, len(small.QUERIES))
    variables = read_variables(done.version)
    assert not variables["retrieval/replaced"].any()
    assert not len(variables["retrieval/delta"])
    after = answers(model)
    assert after == answers(rebuilt(model, tmp_path))
    assert {*NEW, *MANY} <= {*after[0]}
    assert not {"i22", "i30"} & {*after[0]}
    again = upsert(model, table(tmp_path / "t.parquet", ["later"], seed=3))  # an index of another size than exported
    assert (again.outcome.delta, again.outcome.indexed) == (1, done.outcome.indexed)
    assert "later" in answers(model)[0]


def test_the_index_is_built_again_when_asked_to(model, tmp_path):
    upsert(model, table(tmp_path / "t.parquet", NEW))
    before = answers(model)
    done = upsert(model, None, compact=True)
    assert (done.outcome.delta, done.outcome.added, done.outcome.indexed) == (0, 0, ITEMS - len(UNINDEXED) + len(NEW))
    assert answers(model) == before


def test_an_index_that_misses_its_floor_when_built_again_is_not_published(model, monkeypatch):
    def reversed_rows(*arguments):
        found = build_searcher(*arguments)
        found.vectors.assign(found.vectors[::-1])
        return found

    monkeypatch.setattr("serving.compaction.build_searcher", reversed_rows)
    said = (
        r"^upsert: the index built again retrieves 0\.\d+ .* of the 30 best for 2 stored queries, expected surely 0.95"
    )
    with pytest.raises(UserError, match=said):
        upsert(model, None, compact=True)
    assert versions(model) == [1]
    assert [path.name for path in model.iterdir()] == ["1"]


@pytest.mark.parametrize("shares", [[1.0, 0.2], []])
def test_an_index_of_which_too_little_can_be_told_is_not_published(model, monkeypatch, shares):
    monkeypatch.setattr("pipelines.index.served._shares", lambda *arguments: iter(shares))
    with pytest.raises(UserError, match=rf"{len(shares)} stored queries, expected surely 0.95; nothing was published"):
        upsert(model, None, compact=True)
    assert versions(model) == [1]


def test_nothing_is_left_to_build_an_index_over(model):
    refused(model, "^upsert: the index must be built again, and no item is left that may", None, [*IDS], compact=True)


def test_an_index_that_is_mostly_out_of_date_is_built_again(model, monkeypatch):
    monkeypatch.setattr("pipelines.compaction._FREE", 2)
    shown = [item for row, item in enumerate(IDS) if row not in UNINDEXED]
    few = upsert(model, None, shown[:7])
    assert (few.outcome.dead, few.recall) == (7, None)
    done = upsert(model, None, shown[7:8])
    assert (done.outcome.dead, done.outcome.indexed) == (0, len(shown) - 8)
    assert load_bundle(model).manifest["tuned"] == {
        "k": 30, "recall": 1.0, "low": 1.0, "queries": 2, "microseconds": None,
    }  # fmt: skip


def test_a_tree_with_more_leaves_than_items_is_kept_as_it_is_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.searchers.scann._TREE_FROM", 100)
    monkeypatch.setattr("pipelines.compaction._FREE", 2)
    model = small.export(small.build("scann"), tmp_path / "small" / "1").parent
    gone = [item for row, item in enumerate(IDS) if row not in UNINDEXED][: 128 + 1]  # 6 are left, for 12 leaves
    said = r"^upsert: the index must be built again, and scann cannot be built over 6 items with .*'leaves': 12"
    refused(model, said, None, gone, compact=True)
    done = upsert(model, None, gone)
    assert (done.outcome.dead, done.recall) == (len(gone), None)
    assert {*answers(model)[1]} == {*answers(rebuilt(model, tmp_path))[1]}


def test_shards_are_built_again(tmp_path):
    model = small.export(small.build("ivf", shards=3), tmp_path / "small" / "1").parent
    shown = [item for row, item in enumerate(IDS) if row not in UNINDEXED]
    done = upsert(model, table(tmp_path / "t.parquet", NEW), shown[:50], compact=True)
    assert done.outcome.indexed == len(shown) - 50 + len(NEW)
    assert read_variables(done.version)["retrieval/searcher/starts"].tolist() == [0, 29, 58]
    assert answers(model) == answers(rebuilt(model, tmp_path))
    said = r"^upsert: the index must be built again, and 2 items are too few for .*'shards': 3"
    refused(model, said, None, [*shown[52:], *NEW], compact=True)


def test_where_memory_is_short_an_index_is_built_again_only_if_it_must_be(model, monkeypatch):
    monkeypatch.setattr("pipelines.compaction._FREE", 2)
    monkeypatch.setattr("pipelines.compaction.free_memory", lambda: 0)
    refused(model, "^index: exact over 135 items of .* 0.0 GB are free", None, [], compact=True)
    gone = [item for row, item in enumerate(IDS) if row not in UNINDEXED][:8]
    assert upsert(model, None, gone).outcome.dead == 8


def test_an_older_export_whose_graph_takes_one_size_says_so(exact, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.compaction._FREE", 2)
    model = small.copy(exact, tmp_path / "small" / "1").parent
    facts = {key: value for key, value in load_bundle(model).manifest.items() if key not in ("files", "id", "index")}
    (model / "1" / "manifest.json").unlink()
    small.seal(model / "1", facts)
    said = r"^upsert: 9 items beside an index of 135, at most 7: the index must be built again, and the bundle's graph"
    refused(model, said, table(tmp_path / "t.parquet", MANY))
