"""The bundle on disk and the call that answers from it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from configs.features import CategoryFeature, MultiCategoryFeature, NumberFeature, TimeFeature, VectorFeature
from configs.load import digest
from serving.bundle import load_bundle
from serving.golden import GOLDEN, check_golden
from serving.inputs import RequestError, raw_value
from serving.manifest import MANIFEST, BundleError, newest, seal, seal_id, verify, versions
from serving.recommender import concrete
from serving.runtime import RuntimeFailure, Session
from serving.signatures import list_specs
from serving.state import STATE
from tests.serving import small
from tests.serving.small import END, IDS, ITEMS, UNINDEXED, inputs_of, lists
from towers.backend import tf

ROOT = Path(__file__).parents[2]
INDEXED = {item for row, item in enumerate(IDS) if row not in UNINDEXED}


@pytest.fixture(scope="module")
def bundle(exact_bundle):
    return load_bundle(exact_bundle)


def ids(answer) -> list[str]:
    return [place.item for place in answer]


def one_line(error: pytest.ExceptionInfo) -> str:
    assert isinstance(error.value, UserError)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- on disk ------------------------------------------------------------------------------------------------


def plain_folder(folder: Path) -> Path:
    """A sealed folder that needs no model: verifying looks at bytes only."""
    for name, text in {"saved_model.pb": "graph", "variables/variables.index": "v", "assets.extra/a b.txt": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    seal(folder, {"name": "plain", "publishable": True})
    return folder


def test_what_was_sealed_verifies_and_says_what_it_is(tmp_path):
    manifest = verify(plain_folder(tmp_path))
    assert manifest["name"] == "plain"
    assert set(manifest["files"]) == {"saved_model.pb", "variables/variables.index", "assets.extra/a b.txt"}
    assert manifest["files"]["assets.extra/a b.txt"]["bytes"] == 0


def test_sealing_again_changes_nothing(tmp_path):
    plain_folder(tmp_path)
    before = (tmp_path / MANIFEST).read_text()
    assert (plain_folder(tmp_path) / MANIFEST).read_text() == before


def test_a_flipped_bit_in_any_file_is_found_and_named(exact_bundle, tmp_path):
    folder = small.copy(exact_bundle, tmp_path / "b")
    names = sorted(verify(folder)["files"])
    assert {str(STATE), str(GOLDEN), "saved_model.pb", "variables/variables.index"} <= set(names)
    for name in names:
        path = folder / name
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(BundleError, match=r"was changed: found sha256 \w+.* expected \w+") as error:
                load_bundle(folder)
            assert str(path) in one_line(error)
        path.write_bytes(whole)
    verify(folder)


@pytest.mark.parametrize("change", [b"", b"grap", b"graph and more"])
def test_a_file_of_another_length_is_found(tmp_path, change):
    (plain_folder(tmp_path) / "saved_model.pb").write_bytes(change)
    with pytest.raises(BundleError, match=rf"saved_model.pb was changed: found {len(change)} bytes, expected 5"):
        verify(tmp_path)


def test_every_missing_file_is_named(tmp_path):
    for name in verify(plain_folder(tmp_path))["files"]:
        (tmp_path / name).rename(tmp_path.parent / "aside")
        with pytest.raises(BundleError, match=f"lacks {name}, which its manifest lists") as error:
            verify(tmp_path)
        assert str(tmp_path) in one_line(error)
        (tmp_path.parent / "aside").rename(tmp_path / name)


@pytest.mark.parametrize("name", ["more.txt", "variables/more", ".hidden", "variables/manifest.json"])
def test_an_additional_file_is_named(tmp_path, name):
    (plain_folder(tmp_path) / name).write_text("")
    with pytest.raises(BundleError, match=f"holds {name}, which its manifest does not list") as error:
        verify(tmp_path)
    one_line(error)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "{}", '{"files": []}', '{"files": null}', '{"files": {"saved_model.pb": 3}}', "\xff"],
)
def test_a_damaged_manifest_is_named(tmp_path, text):
    (plain_folder(tmp_path) / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(BundleError) as error:
        load_bundle(tmp_path)
    assert str(tmp_path) in one_line(error)
    assert seal_id(tmp_path) in (None, [], {"saved_model.pb": 3})


def test_a_manifest_cannot_vouch_for_files_outside_its_folder(tmp_path):
    plain_folder(tmp_path / "b")
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((tmp_path / "b" / MANIFEST).read_text())
    manifest["files"]["../outside"] = manifest["files"].pop("saved_model.pb")
    manifest["id"] = digest({key: value for key, value in manifest.items() if key != "id"})
    (tmp_path / "b" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"lacks \.\./outside"):
        verify(tmp_path / "b")


@pytest.mark.parametrize("path", ["", "nowhere", "model"])
def test_no_bundle_is_an_error_that_says_what_was_expected(tmp_path, path):
    (tmp_path / "model").mkdir()
    with pytest.raises(BundleError, match=r"is no bundle; expected a folder with manifest\.json"):
        load_bundle(tmp_path / path)


def test_versions_are_whole_numbers_in_order_of_size(tmp_path):
    for name in ["1", "2", "10", "0", "007", "-3", "1.5", "²", "٣", ".partial-4", "x", " 5"]:
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file")
    assert versions(tmp_path) == [0, 1, 2, 10]
    assert versions(tmp_path / "nowhere") == []
    assert newest(tmp_path) == tmp_path / "10"


def test_a_models_folder_opens_its_newest_version(exact_bundle, tmp_path):
    for version in ("9", "10"):
        small.copy(exact_bundle, tmp_path / "small" / version)
    assert load_bundle(tmp_path / "small").folder == tmp_path / "small" / "10"
    assert load_bundle(str(tmp_path / "small" / "9")).folder == tmp_path / "small" / "9"


def test_the_golden_requests_are_answered(exact_bundle):
    check_golden(load_bundle(exact_bundle))


def test_another_golden_answer_is_an_error_that_shows_both(exact_bundle, tmp_path):
    folder = small.copy(exact_bundle, tmp_path / "b")
    golden = json.loads((folder / GOLDEN).read_text())
    golden[0]["items"][1] = "other"
    (folder / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(BundleError, match=r"golden request 0 in .* was answered \[.*, expected .*'other'") as error:
        check_golden(load_bundle_sealed(folder))
    one_line(error)


def load_bundle_sealed(folder: Path):
    seal(
        folder, {name: value for name, value in json.loads((folder / MANIFEST).read_text()).items() if name != "files"}
    )
    return load_bundle(folder)


def test_a_graph_that_does_not_load_is_one_line(exact_bundle, tmp_path):
    folder = small.copy(exact_bundle, tmp_path / "b")
    (folder / "saved_model.pb").write_bytes(b"\0" * 100)
    with pytest.raises(BundleError, match="cannot be loaded") as error:
        load_bundle_sealed(folder).recommend("u1")
    one_line(error)


# --- answers ------------------------------------------------------------------------------------------------


def test_a_known_user_is_answered_from_its_stored_features_and_history(exact, bundle):
    stored = small.QUERIES["u1"]
    inputs = inputs_of([stored.history]) | {
        **bundle.request("u1"),
        "user": small.strings(["u1"]),
        "country": small.strings(["at"]),
        "age": np.array([20], np.float32),
        "time": np.array([END]),
        "history": small.strings([stored.history]),
        "history_time": np.array([stored.history_time]),
    }
    expected = exact.call("recommend", inputs)
    answer = bundle.recommend("u1", 10)
    assert ids(answer) == lists(expected)[0]
    assert [place.score for place in answer] == pytest.approx(expected["scores"][0].tolist(), rel=1e-4, abs=1e-5)
    assert not set(ids(answer)) & set(stored.history)
    assert not any(place.filled for place in answer)


def test_each_place_has_the_towers_score_and_a_reason(exact, bundle):
    stored = small.QUERIES["u1"]
    answer, scores = bundle.recommend("u1", 10), bundle.run("retrieve", bundle.request("u1") | small.limits(ITEMS))
    retrieved = dict(zip(scores["items"][0], scores["scores"][0].tolist(), strict=True))
    assert [one.retrieval for one in answer] == pytest.approx(
        [retrieved[one.item.encode()] for one in answer], abs=1e-4
    )
    assert {one.because for one in answer} <= set(stored.history)
    assert {one.because for one in bundle.recommend("u2")} == {""}


def test_relevance_decides_how_diverse_a_list_is(bundle):
    usual = bundle.recommend("u1")
    assert bundle.recommend("u1", relevance=bundle.config.rerank.relevance) == usual
    by_score = bundle.recommend("u1", relevance=1)
    assert [one.score for one in by_score] == sorted((one.score for one in by_score), reverse=True)
    assert ids(by_score) != ids(usual) != ids(bundle.recommend("u1", relevance=0))


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf"), "much", [0.5], object()])
def test_what_is_no_weight_is_refused(bundle, value):
    with pytest.raises(RequestError, match=r"^relevance: found .*, expected a number from 0 to 1") as error:
        bundle.recommend("u1", relevance=value)
    one_line(error)


def test_a_bundle_that_takes_no_relevance_and_gives_no_reasons_is_answered(exact, exact_bundle, tmp_path):
    def recommend(inputs):
        answer = exact.module.recommend(inputs | {"relevance": tf.fill(tf.shape(inputs["k"]), -1.0)})
        return {name: answer[name] for name in ("items", "scores", "count", "filled")}

    older = dataclasses.replace(exact)
    older.__dict__["signatures"] = {"recommend": concrete(recommend, list_specs(exact.config))}
    found, today = (load_bundle(folder) for folder in (small.export(older, tmp_path / "b"), exact_bundle))
    assert ids(found.recommend("u1")) == ids(today.recommend("u1"))
    assert {(one.retrieval, one.because) for one in found.recommend("u1")} == {(0.0, "")}
    with pytest.raises(RequestError, match=r"^relevance: .*/b takes none, as older versions did not; export the run"):
        found.recommend("u1", relevance=0.5)


def test_reasons_and_weights_through_the_c_loader_are_those_of_the_graph(exact, bundle):
    inputs = inputs_of([["i20", "i21"], [], IDS[40:60], ["i50", "nobody"]], k=[10, 5, 30, 10], seed=7)
    inputs["relevance"] = np.array([0.2, np.nan, 1.0, -1.0], np.float32)
    answer, expected = bundle.run("recommend", inputs), exact.call("recommend", inputs)
    assert answer.keys() == expected.keys()
    assert lists(answer) == lists(expected)
    assert answer["because"].tolist() == expected["because"].tolist()
    np.testing.assert_allclose(answer["retrieval"], expected["retrieval"], rtol=1e-4, atol=1e-4)


def test_titles_are_given_and_the_id_where_there_is_none(bundle):
    titles = {place.item: place.title for place in bundle.recommend("u1", ITEMS)}
    assert titles.pop("i30") == "i30"
    assert all(title == f"Title of {item}" for item, title in titles.items())


def test_an_unknown_user_is_answered_as_nobody(bundle):
    assert bundle.recommend("somebody") == bundle.recommend(None) == bundle.recommend()
    assert len(bundle.recommend("somebody")) == 10


def test_a_known_user_without_history_is_told_apart_by_its_features(bundle):
    assert bundle.recommend("u2") != bundle.recommend("nobody")


def test_a_given_history_replaces_the_stored_one_and_passes_over_unknown_ids(bundle):
    given = bundle.recommend("u1", history=["i40", "it's"])
    assert given == bundle.recommend("u1", history=["nobody", "i40", "", "it's", "no"])
    assert given != bundle.recommend("u1")
    assert not {"i40", "it's"} & set(ids(bundle.recommend("u1", 200, history=["i40", "it's"])))
    assert {"i20", "i21"} <= set(ids(bundle.recommend("u1", 200, history=[])))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"user": "caf\udce9"}, "user"),
        ({"likes": ["caf\udce9"]}, "likes"),
        ({"history": ["caf\udce9"]}, "history"),
        ({"exclude": ["caf\udce9"]}, "exclude"),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_in_one_line(bundle, given, name):
    with pytest.raises(RequestError) as raised:  # the shell gives such bytes as lone surrogates
        bundle.recommend(**given)
    assert name in one_line(raised)
    assert "\udce9" not in str(raised.value)  # which no terminal can show


def test_only_unknown_ids_are_an_empty_history(bundle):
    assert bundle.recommend("u1", history=["nobody"]) == bundle.recommend("u1", history=[])


def test_the_stored_history_given_by_hand_answers_the_same(bundle):
    stored = small.QUERIES["u1"]
    assert bundle.recommend("u1") == bundle.recommend("u1", history=stored.history, history_time=stored.history_time)
    assert bundle.recommend("u1") == bundle.recommend("u1", history_time=stored.history_time, time=END)


def test_times_of_the_history_and_of_the_request_are_read(bundle):
    scores = [
        [place.score for place in bundle.recommend("u1", **given)]
        for given in ({}, {"history_time": [1, 2, 3]}, {"time": END + 10**6})
    ]
    assert scores[0] != scores[1] != scores[2] != scores[0]


@pytest.mark.parametrize(
    "given", [{"history": ["i20"], "history_time": [1, 2]}, {"history": [], "history_time": [1]}, {"history_time": [1]}]
)
def test_as_many_times_as_items(bundle, given):
    with pytest.raises(RequestError, match=r"history_time: found \d times for \d items, expected as many"):
        bundle.recommend("u1", **given)


def test_excluded_items_are_not_in_the_list_and_unknown_ones_do_not_matter(bundle):
    first = ids(bundle.recommend("u1", 3))
    left = INDEXED - {*first, *small.QUERIES["u1"].history}
    assert set(ids(bundle.recommend("u1", 200, exclude=first))) == left
    assert bundle.recommend("u1", exclude=["nobody", ""]) == bundle.recommend("u1")
    assert bundle.recommend("u1", exclude=IDS) == []


@pytest.mark.parametrize("k", [1, 10, ITEMS, ITEMS + 1, 10**5, 2**40])
def test_k_up_to_far_beyond_the_catalogue(bundle, k):
    answer = bundle.recommend(None, k)
    assert len(answer) == min(k, len(INDEXED))
    assert set(ids(answer)) <= INDEXED


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_has_at_least_one_place(bundle, k):
    with pytest.raises(RequestError, match=f"k: found {k}, expected at least 1"):
        bundle.recommend("u1", k)


def test_context_overrides_what_is_stored_and_takes_text_for_numbers(bundle):
    assert bundle.recommend("u1", context={"age": "3.5"}) == bundle.recommend("u1", context={"age": 3.5})
    assert bundle.recommend("u1", context={"age": "3.5"}) != bundle.recommend("u1")
    assert bundle.recommend("u1", context={"age": 20.0, "country": "at"}) == bundle.recommend("u1")
    assert bundle.recommend("u1", context={"device": "tv"}) != bundle.recommend("u1", context={"device": "phone"})
    assert bundle.recommend("u1", context={"mood": [3, -3]}) != bundle.recommend("u1", context={"mood": np.zeros(2)})
    assert bundle.recommend(None, context={"user": "u1", "country": "at", "age": 20}) == bundle.recommend(
        "u1", history=[]
    )


@pytest.mark.parametrize("name", ["age", "battery", "departure"])
@pytest.mark.parametrize("value", ["", "old", "nan", float("nan"), "inf", 1e300, "-1e300", [1], object(), None])
def test_what_is_no_number_is_refused(bundle, name, value):
    if value is None:
        assert bundle.recommend("u1", context={name: value})
        return
    with pytest.raises(RequestError, match=f"{name}: found .*, expected a finite number") as error:
        bundle.recommend("u1", context={name: value})
    one_line(error)


@pytest.mark.parametrize("value", ["1,2", [1], [1, 2, 3], [[1, 2]], [1, float("nan")], [1, 1e300], ["a", "b"], 3, {}])
def test_what_is_no_vector_is_refused(bundle, value):
    with pytest.raises(RequestError, match=r"mood: found .*, expected 2 finite numbers"):
        bundle.recommend("u1", context={"mood": value})


@pytest.mark.parametrize("name", ["height", "genre", "item_id", "clock", "time", "k", "history"])
def test_a_name_that_is_no_feature_of_a_request_is_refused(bundle, name):
    with pytest.raises(RequestError, match=rf"context: unknown feature '{name}'; expected one of \['age', ") as error:
        bundle.recommend("u1", context={name: 1})
    assert "clock" not in one_line(error).partition("expected")[2]  # it is read from the request's time


@pytest.mark.parametrize("bad", ["\ud800", 7, None])
def test_an_id_that_is_no_text_is_refused(bundle, bad):
    for given in ({"history": [bad]}, {"exclude": [bad]}):
        with pytest.raises(RequestError, match="no text"):
            bundle.recommend("u1", **given)


def test_only_items_with_a_wanted_value_of_each_filter_are_listed(bundle):
    has = {name: dict(zip(IDS, texts, strict=True)) for name, texts in small.FILTERS.items()}
    whole = ids(bundle.recommend("u1", 200))
    asked = {"stock": ["yes"], "region": ["at", "ch"]}
    left = {i for i in whole if has["stock"][i] == "yes" and {"at", "ch"} & {*has["region"][i].split("|")}}
    assert 0 < len(left) < len(whole)
    assert set(ids(bundle.recommend("u1", 200, filters=asked))) == left
    neighbours = [one.item for one in bundle.similar("i20", 200, filters=asked)]
    assert set(neighbours) == left - {"i20"} | (set(neighbours) - set(whole))  # what u1 has seen may be a neighbour
    assert bundle.recommend("u1", filters={"stock": [], "region": []}) == bundle.recommend("u1")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"colour": ["red"]}, r"^filters: unknown filter 'colour'; expected one of region, stock$"),
        ({"region": ["at", "AT"]}, r"^filter region: found 'AT', expected one of at, be, ch$"),
        ({"region": "at"}, r"^filter region: found the text 'at', expected a list"),
    ],
)
def test_filters_that_the_bundle_does_not_know_are_refused(bundle, filters, said):
    for ask in (lambda: bundle.recommend("u1", filters=filters), lambda: bundle.similar("i20", filters=filters)):
        with pytest.raises(RequestError, match=said):
            ask()


def test_a_popularity_bundle_keeps_to_filters(exact, tmp_path):
    popular = dataclasses.replace(exact, module=small.build_popularity())
    bundle = load_bundle(small.export(popular, tmp_path / "p"))
    whole = ids(bundle.recommend("u2", 200))
    stock = dict(zip(IDS, small.FILTERS["stock"], strict=True))
    assert ids(bundle.recommend("u2", 200, filters={"stock": ["no"]})) == [i for i in whole if stock[i] == "no"]
    assert ids(bundle.recommend("u2", 3, filters={"stock": ["no"]})) == [i for i in whole if stock[i] == "no"][:3]


def test_similar_items_have_titles_and_come_nearest_first(bundle):
    found = bundle.similar("i20", 5)
    assert len({one.item for one in found} - {"i20"}) == 5
    assert found[0].title == bundle.state.titles([found[0].item]).get(found[0].item, found[0].item)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert [one.item for one in bundle.similar("i20", 4, exclude=[found[0].item])] == [one.item for one in found[1:]]


@pytest.mark.parametrize("item", ["nobody", "", "\udc80"])
def test_neighbours_of_an_unknown_item_are_refused(bundle, item):
    with pytest.raises(RequestError, match=r"^item: found"):
        bundle.similar(item)


def test_a_signature_that_the_bundle_lacks_is_named(bundle):
    with pytest.raises(RequestError, match="has no signature 'explain'; found embed_item, embed_user, rank"):
        bundle.run("explain", {})


def test_inputs_that_do_not_fit_a_signature_are_refused(bundle):
    with pytest.raises(RequestError, match="'embed_user': found inputs"):
        bundle.run("embed_user", {})


def test_every_signature_answers_through_the_c_loader(exact, bundle):
    request = bundle.request("u1")
    vector = bundle.run("embed_user", request)["vector"]
    np.testing.assert_allclose(vector, exact.call("embed_user", request)["vector"], rtol=1e-4, atol=1e-5)
    items = bundle.run("embed_item", exact.items)["vector"]
    np.testing.assert_allclose(items, exact.catalogue.static, rtol=1e-4, atol=1e-5)
    list_of = request | small.limits(20)
    candidates = bundle.run("retrieve", list_of)["items"]
    ranked = bundle.run("rank", request | {"candidates": candidates})
    assert sorted(ranked["items"][0]) == sorted(candidates[0])


def test_a_popularity_bundle_answers_the_same_calls(exact, tmp_path):
    popular = dataclasses.replace(exact, module=small.build_popularity())
    answer = load_bundle(small.export(popular, tmp_path / "p")).recommend("u1", 5, exclude=["i50"])
    assert all(place.filled for place in answer)
    assert (
        ids(answer)
        == lists(
            popular.call("recommend", inputs_of([["i20", "i21", "it's"]], 5, [["i50"]], country=small.strings(["at"])))
        )[0]
    )


def test_features_as_the_graph_takes_them():
    number = NumberFeature(name="n", table="events", kind="number", missing=2.0)
    assert raw_value(number, None, 0).tolist() == [2.0]
    assert raw_value(number, True, 0).dtype == np.float32
    with pytest.raises(RequestError, match="n: found nothing, expected a finite number"):
        raw_value(NumberFeature(name="n", table="events", kind="number"), None, 0)
    vector = VectorFeature(name="v", table="events", kind="vector", width=2)
    assert raw_value(vector, None, 0).tolist() == [[0, 0]]
    assert raw_value(vector, ["1", 2], 0).tolist() == [[1, 2]]
    time = TimeFeature(name="t", table="events", kind="time", column="c")
    assert raw_value(time, None, 77).tolist() == [77]
    assert raw_value(time, "1700000001", 77).tolist() == [1_700_000_001]
    several = MultiCategoryFeature(name="m", table="events", kind="multi_category", separator=";")
    assert raw_value(several, ["a", "b"], 0).tolist() == ["a;b"]
    assert raw_value(several, "a;b", 0).tolist() == ["a;b"]
    category = CategoryFeature(name="c", table="events", kind="category")
    assert raw_value(category, None, 0).tolist() == [""]
    assert raw_value(category, 5, 0).tolist() == ["5"]


# --- without TensorFlow -------------------------------------------------------------------------------------


def run_python(code: str, *arguments: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_exports_answer_without_importing_tensorflow(exact_bundle, scann_bundle):
    code = """
import sys
from serving.bundle import load_bundle
from serving.golden import check_golden
for folder in sys.argv[1:]:
    bundle = load_bundle(folder)
    check_golden(bundle)
    print(len(bundle.recommend("u1", 7, context={"device": "tv"})))
heavy = {"tensorflow", "tf_keras", "keras", "scann", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    assert run_python(code, exact_bundle, scann_bundle).split() == ["7", "7"]


def test_the_scann_export_without_its_operations_is_not_found(scann_bundle):
    code = """
import json, sys
from pathlib import Path
from serving.runtime import RuntimeFailure, Session
folder = Path(sys.argv[1])
try:
    Session(folder, json.loads((folder / "manifest.json").read_text())["signatures"])
except RuntimeFailure as failure:
    print(failure)
"""
    assert run_python(code, scann_bundle).startswith("NOT_FOUND: ")


def test_a_scann_bundle_where_scann_is_not_installed_says_so(scann_bundle, monkeypatch):
    monkeypatch.setattr("serving.bundle.scann_library", lambda: None)
    with pytest.raises(BundleError, match="needs ScaNN's operations; install the scann package"):
        load_bundle(scann_bundle).recommend("u1")


def test_the_exact_export_needs_no_library(exact_bundle, monkeypatch):
    monkeypatch.setattr("serving.bundle.scann_library", lambda: None)
    assert load_bundle(exact_bundle).recommend("u1", 3)


def test_a_tensor_that_the_graph_lacks_is_found_on_loading(exact_bundle):
    table = json.loads((exact_bundle / MANIFEST).read_text())["signatures"]
    table["rank"]["outputs"]["items"]["tensor"] = "nothing:0"
    with pytest.raises(RuntimeFailure, match=r"NOT_FOUND.*nothing:0"):
        Session(exact_bundle, table)
