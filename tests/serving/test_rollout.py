"""Which versions answer whom: what was decided, what can serve, and what is left when a version is withdrawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import UserError
from serving.rollout import ROLLOUT, Canary, Rollout, RolloutError, change, plan, read_rollout, roll_back, write_rollout


def model(folder: Path, *versions: int) -> Path:
    for number in versions:
        (folder / str(number)).mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("found", "said", "labels"),
    [
        ([], {}, {}),
        ([3], {}, {"stable": 3}),
        ([1, 3, 2], {}, {"stable": 3}),
        ([1, 2, 3], {"withdrawn": [3]}, {"stable": 2}),
        ([3], {"withdrawn": [3]}, {}),
        ([1, 2, 3], {"stable": 2}, {"stable": 2}),
        ([1, 3, 4], {"stable": 2}, {"stable": 1}),  # the one that was named is gone: the newest before it
        ([3, 4], {"stable": 2}, {"stable": 3}),  # none before it: the oldest after it
        ([1, 2, 3], {"canary": {"version": "newest"}}, {"stable": 2, "canary": 3}),
        ([1, 2, 3], {"canary": {"version": 2}}, {"stable": 3, "canary": 2}),
        ([3], {"canary": {"version": "newest"}}, {"stable": 3}),  # alone, it answers everyone
        ([1, 2], {"canary": {"version": 7}}, {"stable": 2}),
        ([1, 2, 3], {"canary": {"version": "newest"}, "withdrawn": [3]}, {"stable": 1, "canary": 2}),
        ([1, 2, 3], {"shadow": "newest"}, {"stable": 2, "shadow": 3}),
        ([1, 2, 3], {"shadow": 2, "canary": {"version": 3}}, {"stable": 1, "canary": 3, "shadow": 2}),
        ([1, 2, 3], {"shadow": 3, "canary": {"version": 3}}, {"stable": 2, "canary": 3}),
        ([1, 2, 3], {"stable": 3, "canary": {"version": 3}}, {"stable": 3}),
    ],
)
def test_who_answers(found, said, labels):
    assert plan(found, Rollout.model_validate(said)).labels == labels


def test_the_share_is_the_canarys_alone():
    said = Rollout(canary=Canary(share=0.2))
    assert plan([1, 2], said).share == 0.2
    assert plan([2], said).share == 0.0


def test_without_a_file_the_newest_answers(tmp_path):
    assert read_rollout(model(tmp_path, 1, 2)) == Rollout()


def test_what_is_written_is_read_and_nothing_is_left_beside_it(tmp_path):
    said = Rollout(withdrawn=(3,), canary=Canary(version=5, share=0.5), shadow="newest")
    write_rollout(tmp_path, said)
    assert read_rollout(tmp_path) == said
    assert [path.name for path in tmp_path.iterdir()] == [ROLLOUT]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{", "it: "),
        ('{"stabel": 1}', "stabel: "),
        ('{"canary": {"share": 2}}', "canary.share: "),
        ('{"withdrawn": ["x"]}', "withdrawn.0: "),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, names):
    (tmp_path / ROLLOUT).write_text(text)
    with pytest.raises(RolloutError, match=names) as error:
        read_rollout(tmp_path)
    assert str(tmp_path / ROLLOUT) in str(error.value)
    assert isinstance(error.value, UserError)


def test_a_rollback_takes_the_stable_version_away_and_another_takes_the_next(tmp_path):
    folder = model(tmp_path, 1, 2, 3)
    assert roll_back(folder)[0] == 3
    gone, then = roll_back(folder)
    assert (gone, then.labels) == (2, {"stable": 1})
    with pytest.raises(RolloutError, match="no version but 1"):
        roll_back(folder)
    assert json.loads((folder / ROLLOUT).read_text())["withdrawn"] == [2, 3]


def test_what_is_published_after_a_rollback_is_served(tmp_path):
    folder = model(tmp_path, 1, 2)
    roll_back(folder)
    model(folder, 3)
    assert plan([1, 2, 3], read_rollout(folder)).labels == {"stable": 3}


def test_a_rollback_takes_the_version_on_trial_first(tmp_path):
    folder = model(tmp_path, 1, 2, 3)
    write_rollout(folder, Rollout(canary=Canary(version=3), stable=2))
    gone, then = roll_back(folder)
    assert (gone, then.labels) == (3, {"stable": 2})
    assert read_rollout(folder).canary is None


def test_a_rollback_of_a_pinned_version_frees_the_pin(tmp_path):
    folder = model(tmp_path, 1, 2, 3)
    write_rollout(folder, Rollout(stable=2))
    gone, then = roll_back(folder)
    assert (gone, then.labels) == (2, {"stable": 3})


def test_an_empty_folder_has_nothing_to_roll_back(tmp_path):
    with pytest.raises(RolloutError, match="no version that serves"):
        roll_back(tmp_path)


def test_a_change_keeps_the_rest(tmp_path):
    folder = model(tmp_path, 1, 2, 3)
    change(folder, withdrawn=(1,))
    assert change(folder, stable=2, canary={"version": "newest", "share": 0.1}).labels == {"stable": 2, "canary": 3}
    assert change(folder, stable=None, canary=None).labels == {"stable": 3}
    assert read_rollout(folder).withdrawn == (1,)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"stable": 9}, r"stable: found version 9, expected one of \[2, 3\]"),
        ({"stable": 1}, "stable: found version 1"),
        ({"shadow": 9}, "shadow: found version 9"),
        ({"canary": {"version": 9}}, "canary: found version 9"),
        ({"canary": {"share": 1.5}}, "canary.share: found 1.5"),
        ({"shadow": "latest"}, "shadow"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(tmp_path, wanted, message):
    folder = model(tmp_path, 1, 2, 3)
    write_rollout(folder, Rollout(withdrawn=(1,)))
    with pytest.raises(RolloutError, match=message):
        change(folder, **wanted)
    assert read_rollout(folder) == Rollout(withdrawn=(1,))


@pytest.mark.parametrize(("found", "said", "labels"), [([0, 1], {}, {"stable": 1}), ([0], {}, {"stable": 0})])
def test_a_version_may_be_called_0(found, said, labels):
    assert plan(found, Rollout.model_validate(said)).labels == labels


def test_version_0_can_be_withdrawn(tmp_path):
    folder = model(tmp_path, 0, 1)
    write_rollout(folder, Rollout(stable=0))
    assert roll_back(folder)[0] == 0
    assert read_rollout(folder).withdrawn == (0,)


@pytest.mark.parametrize("stable", [2, None])
def test_after_a_rollback_of_a_trial_the_next_version_is_on_trial(tmp_path, stable):
    folder = model(tmp_path, 1, 2, 3)
    write_rollout(folder, Rollout(canary=Canary(share=0.1), stable=stable))
    gone, then = roll_back(folder)
    assert (gone, then.labels) == (3, {"stable": 2})
    assert plan([1, 2, 3, 4], read_rollout(folder)).labels == {"stable": 2, "canary": 4}
    assert roll_back(folder)[1].labels == {"stable": 1}
