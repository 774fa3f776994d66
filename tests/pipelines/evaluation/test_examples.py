"""Examples to look at: chosen by the seed, and spelled out truly."""

import numpy as np
import pytest

from pipelines.evaluation.examples import chosen_examples, examples, load_examples, save_examples
from pipelines.evaluation.funnel import FATES, SHOWN, fates, held_out, taken_in_test
from tests import world
from tests.pipelines.evaluation.worlds import random_dataset, random_stages


@pytest.fixture
def made():
    rng = np.random.default_rng(5)
    dataset = random_dataset(rng)
    requests = dataset.test_requests
    stages = random_stages(rng, requests, 6, 3)
    held = held_out(dataset, requests, taken_in_test(dataset))
    fate = fates(held, requests, dataset.eligible(dataset.cuts.test), True, stages, 3)
    return dataset, requests, held, fate, stages, stages.exact[:, :3]


def test_some_have_hits_and_some_have_none_some_are_long_and_some_short(made):
    _, requests, held, fate, *_ = made
    rows = chosen_examples(requests, held, fate, 0)
    assert len(set(rows.tolist())) == len(rows) == 6
    hit = np.array([(fate[held.starts[row] : held.starts[row + 1]] == SHOWN).any() for row in range(len(requests))])
    long = requests.history.lengths > np.median(requests.history.lengths)
    for one in (True, False):
        for other in (True, False):
            assert ((hit == one) & (long == other))[rows].any() == ((hit == one) & (long == other)).any()


def test_equal_seeds_choose_the_same_and_others_do_not(made):
    _, requests, held, fate, *_ = made
    chosen = [tuple(chosen_examples(requests, held, fate, seed)) for seed in (0, 0, *range(1, 20))]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 1


def test_fewer_requests_than_examples_are_all_shown(made):
    _, requests, held, fate, *_ = made
    two = requests.take(np.arange(2))
    upto = held.starts[2]
    assert chosen_examples(two, held.take(np.arange(2)), fate[:upto], 0).tolist() == [0, 1]


def test_they_are_spelled_out_truly(made):
    dataset, requests, held, fate, stages, popular = made
    found = examples(dataset, requests, held, fate, stages.shown, popular, "popularity 7d")
    rows = chosen_examples(requests, held, fate, world.config().seed)
    for row, one in zip(rows, found.rows, strict=True):
        assert one.query == f"u{requests.query[row]:02}"
        assert one.history_length == len(requests.history[row])
        assert one.history == tuple(f"Item {item}" for item in requests.history[row][-8:])
        shown = [item for item in stages.shown[row] if item >= 0]
        assert [(s.item, s.hit) for s in one.shown] == [(f"i{i:03}", i in requests.targets[row]) for i in shown]
        lost = [FATES[number] for number in fate[held.starts[row] : held.starts[row + 1]]]
        missed = [(f"i{i:03}", name) for i, name in zip(held[row], lost, strict=True) if name != "shown"]
        assert [(m.item, m.fate) for m in one.missed] == missed[:8]
        assert (one.missed_count, one.taken) == (len(missed), len(held[row]))
        assert len(one.popular) == 3


def test_they_are_read_back_as_they_were(made, tmp_path):
    dataset, requests, held, fate, stages, popular = made
    found = examples(dataset, requests, held, fate, stages.shown, popular, "popularity 7d")
    save_examples(found, tmp_path)
    assert load_examples(tmp_path) == found
