"""Publishing: a whole version, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import UserError
from pipelines.publish import GateFailed, core_version, failures, publish, root_id
from serving.bundle import load_bundle
from serving.golden import GOLDEN
from serving.manifest import MANIFEST, BundleError, seal, verify, versions
from tests.serving import exports, small

VERDICT = {
    "gate": "candidate",
    "metric": "lift",
    "slice": "all",
    "value": -0.05,
    "low": -0.1,
    "high": 0.02,
    "floor": 0.0,
    "n": 400,
    "status": "fail",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return exports.exported("exact", tmp_path_factory)


def resealed(bundle: Path, folder: Path, **facts) -> Path:
    """A copy whose manifest says something else."""
    small.copy(bundle, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]
    seal(folder, manifest | facts)
    return folder


def another(bundle: Path, folder: Path) -> Path:
    """A copy with other bytes and the same answers."""
    small.copy(bundle, folder)
    golden = json.loads((folder / GOLDEN).read_text())
    (folder / GOLDEN).write_text(json.dumps(golden) + f"\n{' ' * len(folder.name)}")
    (folder / "assets.extra" / "note").write_text(str(folder))
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]
    seal(folder, manifest)
    return folder


@pytest.fixture(scope="module")
def pair(exported, tmp_path_factory) -> tuple[Path, Path]:
    """Two exports of one model; that both are searched alike does not matter here."""
    return paired(exported, tmp_path_factory.mktemp("pair"))


def paired(bundle: Path, folder: Path, **facts) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    first = resealed(bundle, folder / "bundle", core_export="small-core", **facts)
    of = {"name": "small", "id": verify(first)["id"]}
    return first, resealed(bundle, folder / "bundle-core", name="small-core", core_of=of, **facts)


def upserted(version: Path) -> Path:
    """The next version as `upsert` leaves it, with nothing changed."""
    manifest = verify(version)
    onto = {"onto": manifest["id"], "root": root_id(manifest)}
    return resealed(version, version.with_name(str(int(version.name) + 1)), upsert=onto)


def numbers(root: Path) -> dict[str, list[str]]:
    return {name: names(root / name) for name in ("small", "small-core")}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_first_version_is_one_and_a_whole_copy(exported, tmp_path):
    version = publish(exported, tmp_path / "deep" / "root")
    assert version == tmp_path / "deep" / "root" / "small" / "1"
    assert verify(version) == verify(exported)
    assert names(version.parent) == ["1"]
    assert load_bundle(version.parent).recommend("u1") == load_bundle(exported).recommend("u1")


def test_another_reader_may_enter_what_was_published(exported, tmp_path):
    version = publish(exported, tmp_path)
    assert stat.S_IMODE(version.stat().st_mode) == stat.S_IMODE(exported.stat().st_mode)


def test_the_next_version_follows_the_largest_number(exported, tmp_path):
    for name in ("2", "10", "9"):
        (tmp_path / "small" / name).mkdir(parents=True)
    assert publish(exported, tmp_path).name == "11"


def test_other_folders_and_files_do_not_count(exported, tmp_path):
    model = tmp_path / "small"
    for name in ("x", "1.5", "-7", "²", ".partial-1"):
        (model / name).mkdir(parents=True)
    (model / "40").write_text("a file")
    assert publish(exported, tmp_path).name == "1"


def test_a_file_in_the_way_of_the_next_number_is_passed_by(exported, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "1").write_text("a file")
    assert publish(exported, tmp_path).name == "2"
    assert (tmp_path / "small" / "1").read_text() == "a file"


def test_the_newest_bundle_again_stays_where_it_is_and_an_older_one_becomes_the_newest(exported, tmp_path):
    first = publish(exported, tmp_path)
    assert publish(exported, tmp_path) == first
    assert publish(another(exported, tmp_path / "b"), tmp_path).name == "2"
    assert publish(exported, tmp_path).name == "3"  # going back must change what is served
    assert versions(first.parent) == [1, 2, 3]


def test_a_published_version_with_a_damaged_manifest_does_not_stand_in_the_way(exported, tmp_path):
    (publish(exported, tmp_path) / MANIFEST).write_text("[]")
    assert publish(exported, tmp_path).name == "2"


def test_a_published_bundle_can_be_published_elsewhere(exported, tmp_path):
    first = publish(exported, tmp_path / "a")
    assert verify(publish(first, tmp_path / "b")) == verify(exported)


def test_a_failed_gate_says_which_verdicts_failed_and_leaves_nothing(exported, tmp_path):
    verdicts = [
        VERDICT,
        VERDICT | {"slice": "new items", "status": "pass"},
        VERDICT | {"slice": "few", "status": "cannot tell"},
        VERDICT | {"gate": "list", "metric": "ndcg@10", "value": 0.01, "status": "cannot tell"},
    ]
    bundle = resealed(exported, tmp_path / "b", publishable=False, verdicts=verdicts)
    with pytest.raises(GateFailed) as error:
        publish(bundle, tmp_path / "root")
    assert str(error.value) == (
        "publish: nothing was published: candidate gate, all: lift is -0.050 [-0.100, +0.020], floor +0.000 (fail); "
        "list gate, all: ndcg@10 is +0.010 [-0.100, +0.020], floor +0.000 (cannot tell)"
    )
    assert isinstance(error.value, UserError)
    assert not (tmp_path / "root").exists()


def test_a_failed_gate_leaves_what_was_published_before(exported, tmp_path):
    first = publish(exported, tmp_path / "root")
    bad = resealed(exported, tmp_path / "b", publishable=False, verdicts=[VERDICT])
    with pytest.raises(GateFailed):
        publish(bad, tmp_path / "root")
    assert names(first.parent) == ["1"]


def test_slices_that_cannot_be_judged_do_not_stand_in_the_way():
    assert failures([VERDICT | {"slice": "few", "status": "cannot tell"}]) == ""
    assert failures([]) == ""


def test_other_golden_answers_are_refused_and_nothing_is_left(exported, tmp_path):
    bundle = small.copy(exported, tmp_path / "b")
    golden = json.loads((bundle / GOLDEN).read_text())
    golden[0]["items"].reverse()
    (bundle / GOLDEN).write_text(json.dumps(golden))
    first = publish(exported, tmp_path / "root")
    bundle = resealed(bundle, tmp_path / "c")
    with pytest.raises(BundleError, match="golden request 0"):
        publish(bundle, tmp_path / "root")
    assert names(first.parent) == ["1"]


@pytest.mark.parametrize("golden", [None, "", "3", '[{"inputs": {}}]', '[{"inputs": {}, "items": []}]'])
def test_a_bundle_without_golden_requests_that_can_be_asked_is_refused(exported, tmp_path, golden):
    bundle = small.copy(exported, tmp_path / "b")
    (bundle / GOLDEN).unlink() if golden is None else (bundle / GOLDEN).write_text(golden)
    bundle = resealed(bundle, tmp_path / "c")
    with pytest.raises(UserError) as error:
        publish(bundle, tmp_path / "root")
    assert "golden.json cannot be read" in str(error.value) or "found inputs []" in str(error.value)
    assert names(tmp_path / "root" / "small") == []


def test_a_damaged_bundle_is_refused(exported, tmp_path):
    bundle = small.copy(exported, tmp_path / "b")
    (bundle / "saved_model.pb").write_bytes(b"")
    with pytest.raises(BundleError, match=r"saved_model\.pb was changed"):
        publish(bundle, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_copy_that_came_out_wrong_is_refused_and_nothing_is_left(exported, tmp_path, monkeypatch):
    whole = shutil.copytree

    def torn(source, target, *rest, **options):
        whole(source, target, *rest, **options)
        if Path(source) == exported:  # it calls itself
            (Path(target) / "saved_model.pb").write_bytes(b"half")

    monkeypatch.setattr(shutil, "copytree", torn)
    with pytest.raises(BundleError, match=r"saved_model\.pb was changed"):
        publish(exported, tmp_path)
    assert names(tmp_path / "small") == []


def test_a_copy_that_fails_leaves_nothing(exported, tmp_path, monkeypatch):
    whole = shutil.copytree

    def full(source, target, *rest, **options):
        whole(source, target, *rest, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        publish(exported, tmp_path)
    assert names(tmp_path / "small") == []


def test_what_a_killed_publisher_left_behind_goes_after_a_day(exported, tmp_path):
    recent, old = (tmp_path / "small" / f".partial-{name}" for name in ("recent", "old"))
    for folder in (recent, old):
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text("half")
    yesterday = time.time() - 86_401
    os.utime(old, (yesterday, yesterday))
    assert publish(exported, tmp_path) == tmp_path / "small" / "1"
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == [".partial-recent", "1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_target_that_may_not_be_written_leaves_nothing(exported, tmp_path):
    model = tmp_path / "small"
    model.mkdir()
    model.chmod(0o555)
    with pytest.raises(OSError, match="Permission denied"):
        publish(exported, tmp_path)
    assert names(model) == []


def test_publishers_at_once_get_a_version_each(exported, tmp_path):
    bundles = [another(exported, tmp_path / name) for name in ("a", "bb", "ccc")]
    with ThreadPoolExecutor(len(bundles)) as pool:
        found = list(pool.map(lambda bundle: publish(bundle, tmp_path / "root"), bundles))
    assert names(tmp_path / "root" / "small") == ["1", "2", "3"]
    assert [verify(version) for version in found] == [verify(bundle) for bundle in bundles]


def test_a_number_taken_meanwhile_is_passed_by(exported, tmp_path, monkeypatch):
    first = publish(exported, tmp_path / "root")
    monkeypatch.setattr("pipelines.publish.versions", lambda model: [])  # what was seen before the other came
    assert publish(another(exported, tmp_path / "b"), tmp_path / "root").name == "2"
    assert verify(first) == verify(exported)


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".", "/etc", "..", "a\n"])
def test_a_name_that_leads_out_of_the_root_is_refused(exported, tmp_path, name):
    config = verify(exported)["config"]
    bundle = resealed(exported, tmp_path / "b", name=name, config=config | {"name": name})
    with pytest.raises(UserError, match="name: found"):
        publish(bundle, tmp_path / "in" / "root")
    assert not (tmp_path / "in").exists()


def test_the_name_is_the_configs(exported, tmp_path):
    assert publish(resealed(exported, tmp_path / "b", name="../outside"), tmp_path / "root").parent.name == "small"


# --- two exports of one model -------------------------------------------------------------------------------


@pytest.fixture
def unasked(monkeypatch) -> None:
    """Golden requests are not asked: each graph takes seconds to load, and here it is about names and numbers."""
    monkeypatch.setattr("pipelines.publish.check_golden", lambda bundle: None)


def publish_stopped(monkeypatch, nth: int, pair: tuple[Path, Path], root: Path) -> None:
    """Publish, and be stopped before the nth rename."""
    whole, seen = Path.rename, []

    def stopped(self, target):
        seen.append(target)
        if len(seen) == nth:
            raise KeyboardInterrupt
        return whole(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            publish(pair[0], root, pair[1])


def test_both_exports_are_published_under_one_number(pair, exported, tmp_path):
    small.copy(exported, tmp_path / "root" / "small" / "1")  # a model without a second export
    version = publish(pair[0], tmp_path / "root", pair[1])
    assert version == tmp_path / "root" / "small" / "2"
    assert numbers(tmp_path / "root") == {"small": ["1", "2"], "small-core": ["2"]}
    assert core_version(version) == tmp_path / "root" / "small-core" / "2"
    assert core_version(version.with_name("1")) is None
    for published, bundle in zip((version, core_version(version)), pair, strict=True):
        assert verify(published) == verify(bundle)


@pytest.mark.usefixtures("unasked")
def test_the_second_export_of_a_version_is_told_by_whose_it_is_not_by_its_number(pair, exported, tmp_path):
    root, newer = tmp_path / "root", paired(another(exported, tmp_path / "other"), tmp_path / "newer")
    first = publish(pair[0], root, pair[1])
    latest = upserted(first)
    assert (latest.name, core_version(latest)) == ("2", root / "small-core" / "1")
    assert core_version(upserted(latest)) == root / "small-core" / "1"
    for number in ("2", "3"):
        assert upserted(core_version(first)).name == number
        assert core_version(first) == core_version(latest) == root / "small-core" / number
    assert publish(newer[0], root, newer[1]).name == "4"
    assert core_version(root / "small" / "4") == root / "small-core" / "4"
    assert core_version(latest) == root / "small-core" / "3"


@pytest.mark.parametrize("of", [None, {"name": "other"}, {"id": "0" * 64}, "small"])
def test_a_strangers_version_is_no_second_export(pair, tmp_path, of):
    first = small.copy(pair[0], tmp_path / "small" / "1")
    own = verify(pair[1])["core_of"]
    resealed(pair[1], tmp_path / "small-core" / "1", core_of=own | of if isinstance(of, dict) else of)
    (tmp_path / "small-core" / "2").mkdir()
    for content in ("", "[1]"):
        (tmp_path / "small-core" / "2" / MANIFEST).write_text(content)
        assert core_version(first) is None
    small.copy(pair[1], tmp_path / "small-core" / "0")
    assert core_version(first) == tmp_path / "small-core" / "0"


@pytest.mark.usefixtures("unasked")
def test_both_again_stay_where_they_are_and_older_ones_become_the_newest(pair, exported, tmp_path):
    newer = paired(another(exported, tmp_path / "other"), tmp_path / "newer")
    root = tmp_path / "root"
    assert [publish(one[0], root, one[1]).name for one in (pair, pair, newer, newer, pair)] == ["1", "1", "2", "2", "3"]
    assert numbers(root) == {"small": ["1", "2", "3"], "small-core": ["1", "2", "3"]}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.usefixtures("unasked")
def test_who_was_stopped_before_a_rename_publishes_again_and_both_are_there(pair, tmp_path, monkeypatch, nth):
    publish_stopped(monkeypatch, nth, pair, tmp_path)
    assert numbers(tmp_path) == {"small": [], "small-core": ["1"] * (nth - 1)}
    assert publish(pair[0], tmp_path, pair[1]).name == "1"
    assert numbers(tmp_path) == {"small": ["1"], "small-core": ["1"]}
    assert verify(tmp_path / "small-core" / "1") == verify(pair[1])


@pytest.mark.usefixtures("unasked")
def test_what_is_missing_beside_upserted_items_gets_the_number_of_the_version_before_them(pair, tmp_path):
    first = publish(pair[0], tmp_path, pair[1])
    shutil.rmtree(tmp_path / "small-core" / "1")
    upserted(first)
    assert publish(pair[0], tmp_path, pair[1]).name == "2"
    assert numbers(tmp_path) == {"small": ["1", "2"], "small-core": ["1"]}


@pytest.mark.usefixtures("unasked")
def test_items_that_were_upserted_into_either_stay(pair, exported, tmp_path):
    first = publish(pair[0], tmp_path / "root", pair[1])
    upserted(upserted(tmp_path / "root" / "small-core" / "1"))
    assert publish(pair[0], tmp_path / "root", pair[1]) == first
    newer = paired(another(exported, tmp_path / "other"), tmp_path / "newer")
    assert publish(newer[0], tmp_path / "root", newer[1]).name == "4"
    assert numbers(tmp_path / "root") == {"small": ["1", "4"], "small-core": ["1", "2", "3", "4"]}


@pytest.mark.usefixtures("unasked")
def test_after_another_pair_was_stopped_half_way_the_one_before_it_is_published_anew(
    pair, exported, tmp_path, monkeypatch
):
    root, newer = tmp_path / "root", paired(another(exported, tmp_path / "other"), tmp_path / "newer")
    publish(pair[0], root, pair[1])
    publish_stopped(monkeypatch, 2, newer, root)
    assert numbers(root) == {"small": ["1"], "small-core": ["1", "2"]}
    shutil.rmtree(root / "small-core" / "1")  # a version that nobody keeps
    assert publish(pair[0], root, pair[1]).name == "3"
    assert numbers(root) == {"small": ["1", "3"], "small-core": ["2", "3"]}


@pytest.mark.usefixtures("unasked")
def test_a_number_that_is_taken_between_the_renames_is_given_up_for_both(pair, exported, tmp_path, monkeypatch):
    whole, seen = Path.rename, []

    def meanwhile(self, target):
        seen.append(target)
        if len(seen) == 2:
            small.copy(exported, tmp_path / "small" / "1")
        return whole(self, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    assert publish(pair[0], tmp_path, pair[1]).name == "2"
    assert numbers(tmp_path) == {"small": ["1", "2"], "small-core": ["1", "2"]}
    assert [verify(tmp_path / name / "2") for name in ("small", "small-core")] == [verify(one) for one in pair]


@pytest.mark.usefixtures("unasked")
def test_neither_is_published_where_one_may_not_be(pair, exported, tmp_path):
    first, second = paired(exported, tmp_path / "pair")
    core_of, bad = verify(second)["core_of"], VERDICT | {"gate": "replay", "metric": "ids that agree"}
    second = resealed(second, tmp_path / "bad", publishable=False, verdicts=[bad], core_of=core_of)
    with pytest.raises(GateFailed, match="nothing was published: replay gate, all: ids that agree"):
        publish(first, tmp_path / "root", second)
    assert not (tmp_path / "root").exists()


@pytest.mark.usefixtures("unasked")
def test_exports_that_are_no_pair_are_refused(pair, exported, tmp_path):
    newer = paired(another(exported, tmp_path / "other"), tmp_path / "newer")
    for first, second, said in (
        (pair[0], newer[1], "is the second export of .*, expected that of"),
        (exported, pair[1], "is the second export of .*, expected that of"),
        (pair[0], exported, "is the second export of None, expected that of"),
        (pair[0], None, "has a second export, small-core: found none, expected bundle-core"),
        (pair[0], tmp_path / "nowhere", "has a second export, small-core: found none, expected .*nowhere"),
    ):
        with pytest.raises(BundleError, match=said) as error:
            publish(first, tmp_path / "root", second)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "root").exists()


@pytest.mark.usefixtures("unasked")
def test_a_model_that_is_called_as_anothers_second_export_is_refused(pair, exported, tmp_path):
    config = verify(exported)["config"] | {"name": "small-core"}
    namesake = resealed(exported, tmp_path / "namesake", config=config)
    publish(namesake, tmp_path / "a")
    with pytest.raises(BundleError, match="holds a model of its own, expected the second export of small; change"):
        publish(pair[0], tmp_path / "a", pair[1])
    publish(pair[0], tmp_path / "b", pair[1])
    with pytest.raises(BundleError, match="holds the second export of small, expected a model of its own; change"):
        publish(namesake, tmp_path / "b")
    assert [numbers(tmp_path / root) for root in "ab"] == [
        {"small": [], "small-core": ["1"]},
        {"small": ["1"], "small-core": ["1"]},
    ]
