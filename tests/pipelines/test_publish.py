"""Publishing: a whole version, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import UserError
from pipelines.publish import GateFailed, failures, publish
from serving.bundle import GOLDEN, MANIFEST, BundleError, load_bundle, seal, verify, versions
from tests.serving import small

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
    return small.export(small.build("exact"), tmp_path_factory.mktemp("export") / "bundle")


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
