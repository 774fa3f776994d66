"""Which columns each source gives, with what correction, and that the correction does what it is for."""

import numpy as np
import pytest

from configs.stages import Negatives
from towers.backend import tf
from towers.dropout import Randomness
from towers.losses import CandidateSoftmax, GeneralisedBCE
from towers.negatives import Mined, Sampler, Sources

SHARE = np.array([0.5, 0.25, 0.25, 0.0], np.float32)
NONE = {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 0}


class _Case:
    """A sampler that can be asked step by step; item vectors are one number wide."""

    def __init__(self, share=SHARE, asking=(1.0,), table=None, **settings):
        config = Negatives(**(NONE | settings))
        self.randomness = Randomness(3)
        self.sampler = Sampler(config, len(share), 1, self.randomness)
        self.sources = Sources.of(config, share, np.array(asking))
        if table is not None:
            self.sources.mined.fill(np.array(table, np.int32))

    def draw(self, target, asked=None, query=(0,)):
        self.randomness.step.assign_add(1)
        asked = np.ones(len(target), bool) if asked is None else np.array(asked)
        target, query = tf.constant(target, tf.int32), tf.constant(query, tf.int32)
        return self.sampler.draw(target, tf.constant(asked), query, self.sources)

    def many(self, steps, *args, **named):
        """Items drawn in so many steps, [steps, columns], -1 for places left empty."""
        drawn = [self.draw(*args, **named) for _ in range(steps)]
        return np.array([np.where(one.there, one.items, -1) for one in drawn])


def _q(columns):
    return np.exp(columns.log_probability)


def _shares(drawn, items=4):
    return np.bincount(drawn[drawn >= 0], minlength=items) / drawn.size


def test_all_of_a_small_batch_are_columns_and_none_of_what_is_not_asked():
    columns = _Case(in_batch=9).draw([0, 0, 1, 2], [True, True, True, False])
    place = np.flatnonzero(columns.example >= 0)
    np.testing.assert_array_equal(np.array([0, 0, 1, 2])[columns.example.numpy()[place]], columns.items.numpy()[place])
    assert sorted(columns.example.numpy()[place]) == [0, 1, 2]


def test_what_a_small_batch_lacks_is_drawn_by_popularity_and_corrected_for_alike():
    case = _Case(in_batch=1000)
    drawn = [case.draw([3, 3], [True, False]) for _ in range(5)]
    rest = np.array([one.items.numpy()[one.example < 0] for one in drawn])
    assert rest.shape == (5, 999)
    assert all(one.there.numpy().all() for one in drawn)
    np.testing.assert_allclose(_shares(rest), SHARE, atol=0.03)
    np.testing.assert_allclose(_q(drawn[0])[1:], SHARE[drawn[0].items[1:]], rtol=1e-5)


def test_the_number_of_columns_does_not_depend_on_the_batch():
    case = _Case(in_batch=3, uniform=4)
    assert [len(case.draw(np.zeros(size, int)).items) for size in (1, 2, 3, 10, 500)] == [7] * 5


def test_a_large_batchs_columns_are_drawn_evenly_from_its_examples_and_none_twice():
    case = _Case(in_batch=3)
    columns = [case.draw([0, 1, 2, 3, 0], [True, True, True, True, False]) for _ in range(500)]
    examples = np.array([one.example for one in columns])
    assert all(len(set(row)) == 3 for row in examples)
    np.testing.assert_allclose(np.bincount(examples.ravel(), minlength=5) / examples.size, [0.25] * 4 + [0], atol=0.04)


def test_uniform_columns_are_drawn_evenly():
    np.testing.assert_allclose(_shares(_Case(uniform=2000).many(5, [0])), [0.25] * 4, atol=0.02)


def test_popular_columns_are_drawn_by_share():
    np.testing.assert_allclose(_shares(_Case(popular=2000).many(5, [0])), SHARE, atol=0.02)


EVENLY = (0.25,) * 4
TABLE = [[0, 1], [2, 3], [1, -1], [-1, -1]]


def test_hard_columns_are_drawn_from_the_tables_of_the_steps_own_queries():
    case = _Case(asking=EVENLY, hard=2000, hard_depth=2, hard_from=1, table=TABLE)
    np.testing.assert_allclose(_shares(case.many(3, [0, 0], query=[0, 1])), [0.25] * 4, atol=0.02)
    np.testing.assert_allclose(_shares(case.many(3, [0], query=[2])), [0, 0.5, 0, 0], atol=0.02)
    assert (case.many(3, [0], query=[3]) == -1).all()


def test_hard_columns_are_drawn_by_examples_that_are_asked_for():
    case = _Case(asking=EVENLY, hard=2000, hard_depth=2, hard_from=1, table=TABLE)
    asked = [True, True, False, True, False, False, False, False, False]  # three examples a row
    drawn = case.many(3, np.zeros(9, int), asked, query=[0, 1, 1])  # the last row is as padding is
    np.testing.assert_allclose(_shares(drawn), np.array([2, 2, 1, 1]) / 6, atol=0.02)


def test_hard_columns_are_the_same_with_padding():
    draws = []
    for rows, moments in ((2, 3), (4, 5)):
        asked = np.zeros((rows, moments), bool)
        asked[:2, :3] = [[True, True, False], [True, False, True]]
        query = np.minimum(np.arange(rows), 1)
        case = _Case(asking=EVENLY, hard=50, hard_depth=2, hard_from=1, table=TABLE)
        draws.append(case.many(2, np.zeros(asked.size, int), asked.ravel(), query=query))
    np.testing.assert_array_equal(*draws)


def test_hard_columns_can_be_drawn_by_xla():
    case = _Case(asking=EVENLY, hard=400, hard_depth=2, hard_from=1, table=TABLE)

    @tf.function(jit_compile=True)
    def draw(asked):
        columns = case.sampler.draw(tf.zeros([4], tf.int32), asked, tf.constant([0, 1]), case.sources)
        return tf.where(columns.there, columns.items, -1)

    np.testing.assert_allclose(
        _shares(draw(tf.constant([True, False, False, False])).numpy()), [0.5, 0.5, 0, 0], atol=0.1
    )


def test_nothing_hard_is_drawn_before_it_is_mined():
    case = _Case(asking=EVENLY, hard=5, hard_depth=2, uniform=1)
    assert (case.many(3, [0, 0], query=[0, 1])[:, 1:] == -1).all()
    columns = case.draw([0])
    np.testing.assert_allclose(_q(columns)[columns.there], 0.25)


def test_memory_columns_are_the_last_positives_of_earlier_steps_with_their_vectors():
    case = _Case(in_batch=1, memory=3)
    first = case.draw([0])
    np.testing.assert_array_equal(first.there, [True, False, False, False])

    def remember(items, asked):
        vectors = 10.0 * np.array(items, np.float32)[:, None]
        case.sampler.remember(tf.constant(items), tf.constant(vectors), tf.constant(asked))

    remember([1, 2, 3], [True, False, True])
    second = case.draw([0])
    np.testing.assert_array_equal(second.items[second.there], [0, 1, 3])
    remember([2, 2], [True, True])
    third = case.draw([0])
    np.testing.assert_array_equal(third.items, [0, 3, 2, 2])
    np.testing.assert_array_equal(third.remembered[:, 0], [30, 20, 20])
    np.testing.assert_array_equal(third.fresh, [0])
    remember([0, 1, 2, 3], [True] * 4)
    np.testing.assert_array_equal(case.draw([0]).items, [0, 1, 2, 3])


def test_draws_repeat_from_seed_and_step_and_differ_between_steps():
    settings = {"in_batch": 2, "uniform": 3, "popular": 3}
    one, other = (_Case(**settings).many(2, [0, 1, 2, 3]) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (one[0] != one[1]).any()


def test_one_mixture_corrects_every_column_and_the_positives():
    # of the share 9 for the batch, which holds 3, and 2 popular, 1 evenly of 4, 2 hard: item 3 for 1/2 x 0.4 of the
    # examples whose queries were mined for, item 2 for 1/2 x (0.4 + 0.5) of them
    table, asking = [[3, 2], [2, -1], [-1, -1]], (0.4, 0.5, 0.1)
    case = _Case(in_batch=9, uniform=1, popular=2, hard=2, hard_depth=2, asking=asking, table=table, logq=True)
    columns = case.draw([0, 0, 1], query=[0])
    expected = 11 * SHARE + 1 / 4 + 2 * np.array([0, 0, 0.45, 0.2]) / 0.9
    q = expected / (11 + 1 + 2 * 0.65 / 0.9)
    np.testing.assert_allclose(_q(columns), q[columns.items], rtol=1e-5)
    held = np.bincount(columns.items[columns.there], minlength=4)
    np.testing.assert_allclose(
        np.exp(columns.positive_log_probability), q[[0, 0, 1]] / held[[0, 0, 1]], rtol=1e-5
    )  # each example's own column is one of those of the batch


def test_memory_counts_in_the_mixture_as_far_as_it_is_filled():
    case = _Case(uniform=1, popular=1, memory=8)
    columns = case.draw([0])
    np.testing.assert_allclose(_q(columns), ((SHARE + 0.25) / 2)[columns.items], rtol=1e-5)
    np.testing.assert_array_equal(columns.factor, 1)
    case.sampler.remember(tf.constant([0, 1, 2]), tf.zeros([3, 1]), tf.constant([True, True, True]))
    columns = case.draw([0])
    np.testing.assert_allclose(_q(columns), ((4 * SHARE + 0.25) / 5)[columns.items], rtol=1e-5)
    expected = (4 * SHARE + 0.25) / (SHARE + 0.25)  # columns of an item, and those of them with a gradient
    np.testing.assert_allclose(columns.factor, expected[columns.fresh], rtol=1e-5)


def test_the_gradients_of_fresh_columns_make_up_for_the_remembered_ones():
    case = _Case(popular=2, memory=2)
    case.sampler.remember(tf.constant([3, 3]), tf.constant([[5.0], [6.0]]), tf.constant([True, True]))
    columns, vectors = case.draw([0]), tf.Variable([[1.0], [2.0]])
    with tf.GradientTape() as tape:
        whole = columns.with_remembered(vectors)
        total = tf.reduce_sum(whole)
    np.testing.assert_array_equal(whole, [[1], [2], [5], [6]])
    np.testing.assert_allclose(tape.gradient(total, vectors)[:, 0], columns.factor)


def test_a_positive_that_no_column_holds_is_held_once_by_its_own():
    columns = _Case(uniform=50, share=np.array([0.5, 0.5] + [0.0] * 9998, np.float32)).draw([0, 1])
    np.testing.assert_allclose(np.exp(columns.positive_log_probability), [1e-4, 1e-4], rtol=1e-5)


def test_logq_has_the_right_sign_and_size_among_five_million_items():
    items = 5_000_000
    share = np.full(items, 0.5 / (items - 1), np.float32)
    share[0] = 0.5
    columns = _Case(share, popular=3, uniform=1).draw([1, 0])
    log_q = columns.positive_log_probability.numpy()
    held = [1 + int((columns.items == item).numpy().sum()) for item in (1, 0)]
    np.testing.assert_allclose(log_q[0] + np.log(held[0]), np.log((3e-7 * 0.5 / 0.5 + 0.5 / 2.5e6) / 4), atol=0.3)
    expected = np.log([(1.5 / (items - 1) + 1 / items) / 4, (1.5 + 1 / items) / 4])
    np.testing.assert_allclose(log_q + np.log(held), expected, rtol=1e-5)
    assert expected[0] < np.log(1e-6)  # where the library stops to tell items apart


def test_popular_draws_reach_every_part_of_five_million_items():
    # the upper half is as likely as the lower, which cumulative sums in float32 would not keep
    items = 5_000_000
    drawn = _Case(np.full(items, 1 / items, np.float32), popular=100_000).many(1, [0]).ravel()
    assert len(np.unique(drawn)) > 98_000
    np.testing.assert_allclose(np.histogram(drawn, 10, (0, items))[0] / drawn.size, [0.1] * 10, atol=0.005)
    assert set(np.unique(drawn % 2)) == {0, 1}


def test_the_correction_can_be_switched_off():
    columns = _Case(in_batch=1, logq=False).draw([0])
    assert columns.log_probability is None
    assert columns.positive_log_probability is None


def test_what_was_mined_is_counted_by_how_often_its_query_asks():
    mined = Mined(np.array([0.4, 0.5, 0.1]), 2, 4)
    mined.fill(np.array([[3, 2], [2, -1], [-1, -1]], np.int32))
    np.testing.assert_allclose(mined.share, np.array([0, 0, 0.45, 0.2]) / 0.9, rtol=1e-6)  # of those mined for
    assert mined.depth == 2


def test_where_items_were_mined_for_some_queries_alone_these_get_all_hard_columns():
    """As where there are more queries than are mined for before an epoch; the others' examples ask for nothing."""
    case = _Case(hard=60, hard_depth=2, hard_from=1, asking=(0.25,) * 4, table=[[-1, -1], [2, 3], [-1, -1], [1, 0]])
    drawn = case.many(30, [0] * 4, query=[0, 1, 2, 3])
    np.testing.assert_allclose(_shares(drawn), [0.25] * 4, atol=0.03)
    np.testing.assert_allclose(_q(case.draw([0] * 4, query=[0, 1, 2, 3])), 0.25, rtol=1e-5)
    assert (case.many(1, [0] * 2, query=[0, 2]) == -1).all()


_SOURCES = {
    "in-batch": {"in_batch": 16},
    "a part of the batch": {"in_batch": 8, "uniform": 8},
    "popular": {"popular": 16},
    "uniform": {"uniform": 16},
    "hard and uniform": {"hard": 8, "hard_depth": 6, "uniform": 8},
    "memory and in-batch": {"memory": 8, "in_batch": 8},
    "everything": {"in_batch": 4, "uniform": 4, "popular": 4, "hard": 4, "hard_depth": 6, "memory": 4},
}


def _mean_gradient(logits, share, settings, logq, loss=None, batches=400):
    """Mean gradient on the logits of one query that everyone is, over the batches of a fit that does not move.

    loss: the softmax where it is None.
    """
    rng = np.random.default_rng(5)
    table = [[1, 4, 9, 16, 25, 36]] if settings.get("hard") else None
    case = _Case(share.astype(np.float32), table=table, logq=logq, **settings)
    variable, loss = tf.Variable(logits[:, None]), loss or CandidateSoftmax()

    @tf.function
    def gradient(target):
        columns = case.sampler.draw(target, tf.ones([16], tf.bool), tf.constant([0]), case.sources)
        with tf.GradientTape() as tape:
            candidates = columns.with_remembered(tf.gather(variable, columns.fresh))
            correction = {
                "candidate_log_probability": columns.log_probability,
                "positive_log_probability": columns.positive_log_probability,
            }
            value = loss(
                tf.ones([16, 1]),
                tf.gather(variable, target),
                candidates,
                score_mask=(columns.items[None, :] != target[:, None]) & columns.there,
                **(correction if logq else {}),
            )
        case.sampler.remember(target, tf.gather(variable, target), tf.ones([16], tf.bool))
        return tf.convert_to_tensor(tape.gradient(value, variable))[:, 0]

    total = np.zeros(len(logits))
    for _ in range(batches):
        total += gradient(tf.constant(rng.choice(len(share), 16, p=share), tf.int32)).numpy()
        case.randomness.step.assign_add(1)
    return total / batches


@pytest.mark.parametrize("settings", _SOURCES.values(), ids=_SOURCES.keys())
def test_logq_brings_the_sampled_gradient_to_that_of_the_whole_softmax(settings):
    share = 1 / np.arange(1, 61)
    share /= share.sum()
    # at the whole softmax's optimum, log share, its gradient is zero; a sampled one must be nearly so
    optimum = np.log(share).astype(np.float32)
    corrected, plain = (_mean_gradient(optimum, share, settings, logq) for logq in (True, False))
    assert np.abs(corrected).sum() < 0.12
    if settings == {"uniform": 16}:
        assert np.abs(plain - corrected).sum() < 0.05  # even draws need no correction
    else:
        assert np.abs(plain).sum() > 0.3
        often = [1, 4, 9] if "hard" in settings else [0]
        assert plain[often].sum() > 0.05  # what is drawn often is pushed down
    # and away from it, the gradient is softmax - share: here all logits are equal
    corrected = _mean_gradient(np.zeros(60, np.float32), share, settings, True)
    expected = 1 / 60 - share
    assert np.corrcoef(corrected, expected)[0, 1] > 0.98
    assert np.abs(corrected - expected).sum() < 0.25 * np.abs(expected).sum()


@pytest.mark.parametrize("uniform", [6, 120])
def test_gbce_makes_up_for_what_is_not_drawn_as_far_as_t_says(uniform):
    share = 1 / np.arange(1, 61)
    share /= share.sum()
    odds, rate = np.log(share / (1 - share)), uniform / 60

    def gradient(log_odds, t):
        loss = GeneralisedBCE(t, uniform, 60)
        logits = log_odds - np.log((1 - t * (1 - rate)) / uniform)  # less what all scores start at
        return np.abs(_mean_gradient(logits.astype(np.float32), share, {"uniform": uniform}, False, loss)).sum()

    # with t = 1 sigmoids end as probabilities, whatever share is drawn; with less, odds are off by beta / rate
    assert gradient(odds, 1) < 0.2 * gradient(odds, 0)
    off = odds + np.log((1 - 0.75 * (1 - rate)) / rate)
    assert gradient(off, 0.75) < 0.6 * gradient(off, 1)
