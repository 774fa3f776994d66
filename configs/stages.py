"""The config of the stages, a section each, in the order in which they run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from configs.units import Columns, Count, Cut, Duration, Number, Portion, Positive, Section, Share, Switch, Whole


class Split(Section):
    """What is learned from and what is judged on, and what a judged request asks.

    global_time cuts the log at three moments, each a quantile of the events' times or an ISO date: towers learn before
    `validation` and are chosen on validation to `ranker`, where the ranker learns; it is chosen on `ranker` to `test`;
    and everything is judged on what comes after `test`. The other two leak the future and are here to repeat published
    protocols: leave_last_out holds out each query's last `held_out` events: 3, one for each window, or 2 as most
    publish, where the ranker has no window of its own and is chosen by a fifth of the queries of validation; random
    deals events to the windows by chance, their shares as the quantiles say.

    A request's history is as of the cut, or rolls up to one of the query's events in the window, drawn at random (for
    queries that live short, as sessions do). Its targets are all that the query takes from there on, the next item,
    or the last. `horizon` leaves out what is taken later than that after the cut (rolling: after the request).
    `max_queries` of a larger window are judged, drawn evenly, and as many newcomers: each contender ranks the whole
    catalogue for each.
    """

    protocol: Literal["global_time", "leave_last_out", "random"] = "global_time"
    held_out: Literal[2, 3] = 3
    validation: Cut = 0.8
    ranker: Cut = 0.85
    test: Cut = 0.9
    history: Literal["cut", "rolling"] = "cut"
    targets: Literal["all_future", "next", "last"] = "all_future"
    horizon: Duration | None = None
    max_queries: Count = 20_000

    @model_validator(mode="after")
    def _needs_time(self) -> Split:
        if self.held_out != 3 and self.protocol != "leave_last_out":
            raise ValueError(f'held_out = {self.held_out} needs protocol = "leave_last_out", found {self.protocol!r}')
        if self.protocol == "global_time":
            return self
        if self.horizon is not None:
            raise ValueError(f'horizon = {self.horizon!r} needs protocol = "global_time", found {self.protocol!r}')
        dates = [cut for cut in (self.validation, self.ranker, self.test) if isinstance(cut, str)]
        if dates:
            raise ValueError(f"{dates[0]!r} is a date; protocol = {self.protocol!r} expects shares between 0 and 1")
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Split:
        cuts = [self.validation, self.ranker, self.test]
        for name, cut in zip(("validation", "ranker", "test"), cuts, strict=True):
            if isinstance(cut, str):
                try:
                    datetime.fromisoformat(cut)
                except ValueError:
                    raise ValueError(f"{name} = {cut!r} is neither a quantile nor an ISO date") from None
            elif not 0 < cut < 1:
                raise ValueError(f"{name} = {cut} is not a quantile between 0 and 1")
        if all(isinstance(cut, float) for cut in cuts) and not cuts[0] < cuts[1] < cuts[2]:  # type: ignore[operator]
            raise ValueError(f"expected validation < ranker < test, found {cuts}")
        return self


class Baselines(Section):
    """Which baselines are fitted, and how hard each is tuned; windows are those of recent popularity.

    Each family tries at most `trials` settings on the validation window, its reference setting first: with 1 nothing is
    tuned. Those that need an extra or do not apply to the data are left out, and the stage says why.
    """

    windows: tuple[Duration, ...] = ()  # default: 7d, 30d; without a clock 5 and 25 % of the log
    trials: Count = 6
    content: Switch = True  # TF-IDF of the items' words and categories
    user_neighbours: Switch = True
    neighbours: Switch = True  # of items
    ease: Switch = True
    als: Switch = True
    bpr: Switch = True
    lightfm: Switch = True  # needs twinspire[baselines]
    ratings: Switch = True  # Surprise, where data.events.rating is named; needs twinspire[baselines]
    blends: Switch = True  # recent popularity mixed into EASE and item neighbours
    factors: Count = 64  # of ALS and BPR
    max_items: Count = 10_000  # EASE and neighbours on ratings hold items x items; larger catalogues do without


class History(Section):
    """How the last items of a query are read.

    encoder "none" reads none: the query is what the features of queries and events say, as in matrix factorisation.
    Items are read as the "tower" sees them or by "id", an embedding for each item; of items that the fitted log holds
    fewer than twice there is one for all. `position` ("relative": how many items back; mean and transformer alone) and
    `relative_time` (how long ago; all three) are what the encoder knows of order and time. With `scaled` the
    transformer reads items times sqrt(embedding_dim), as SASRec does: sooner learned where an item is little more than
    its id. In training, `dropout` acts inside gru and transformer, and `item_dropout` is how often an item is not read
    at all.
    """

    encoder: Literal["none", "mean", "gru", "transformer"] = "transformer"
    items: Literal["tower", "id"] = "tower"
    length: Count = 50
    layers: Count = 2  # of gru and transformer
    heads: Count = 2  # of the transformer
    position: Literal["relative", "none"] = "relative"
    relative_time: Switch = True
    scaled: Switch = False  # of the transformer
    convolution: Whole = 0  # of the transformer: over so many of the latest items, in every layer
    dropout: Portion = 0.1
    input_dropout: Portion = 0.0  # of the transformer: of what is read
    item_dropout: Portion = 0.0

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> History:
        # sizes may stay as they are, so that another encoder can be tried by one word
        idle = [] if self.encoder == "transformer" else ["convolution", "scaled", "input_dropout"]
        idle += ["position"] if self.encoder in ("gru", "none") else []
        idle += ["items", "item_dropout", "relative_time"] if self.encoder == "none" else []
        for name in idle:
            off = type(self).model_fields[name].default
            if (found := getattr(self, name)) != off:
                raise ValueError(f"{name} = {found!r} does nothing where encoder = {self.encoder!r}, expected {off!r}")
        return self


class Towers(Section):
    """Both towers: width, history encoder, and how scores are formed.

    Each ends in a perceptron of `hidden` layers; with top = "dcn" it reads its features through `cross_layers` layers
    of crosses first. A query may be `query_vectors` vectors, of which the one that fits an item best scores it.
    """

    embedding_dim: Count = 64
    item_bias: Switch = True  # whether an item's vector also says what it is worth to everyone
    query_vectors: Count = 1
    top: Literal["mlp", "dcn"] = "mlp"
    cross_layers: Count = 2  # of "dcn"
    hidden: tuple[Count, ...] = (128,)
    dropout: Portion = 0.1
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: Positive = 0.1  # scores are divided by it; where it is learned, only at first
    learn_temperature: Switch = False  # between 0.01 and 10
    history: History = History()

    @model_validator(mode="after")
    def _within_what_is_learned(self) -> Towers:
        if self.learn_temperature and not 0.01 <= self.temperature <= 10:
            raise ValueError(f"temperature = {self.temperature}, expected 0.01 to 10 where learn_temperature = true")
        return self

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> Towers:
        off = type(self).model_fields["cross_layers"].default
        if self.top == "mlp" and self.cross_layers != off:
            raise ValueError(f'cross_layers = {self.cross_layers} does nothing where top = "mlp", expected {off}')
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Towers:
        if self.history.encoder == "transformer" and self.embedding_dim % self.history.heads:
            raise ValueError(
                f"embedding_dim = {self.embedding_dim}, expected a multiple of history.heads = {self.history.heads}"
            )
        return self


class Trend(Section):
    """Point-in-time popularity of items, kept apart from what an item is.

    It is the rate at which an item is taken, over that of an average item, in all the time that it was listed and in
    the last windows. As long as little is known it stays near the next longer window's, and that of all time near the
    average; `prior` is the number of events expected of an average item at which both count the same.

    An item without a date counts as there since the log began. While nobody has taken it, it is `undated`: "old", and
    unwanted ever since, or "new", just listed. Nothing says which of them are new: old, none is found; new, all that
    nobody wants compete with what is taken. With `data.items.available_from` there is nothing to choose.
    """

    enabled: Switch = True  # without it towers know items by their ids and content alone
    undated: Literal["old", "new"] = "old"
    windows: tuple[Duration, ...] = ()  # default: 1d, 7d, 30d; without a clock 1, 5 and 25 % of the log
    bucket: Duration | None = None  # how often it is counted anew; default: 1d, or 1 % of the log
    prior: Positive = 10.0


class Mixing(Section):
    """Popularity within the query's segment, mixed into scores as histories get shorter.

    How much of it, for histories of which length, is learned on the validation window; where that shows no gain in
    candidate recall, nothing is mixed in.
    """

    learn: Switch = True  # off: nothing is mixed in
    segments: Whole = 32  # the largest ones of data.segment count apart, a column of item vectors each


class Negatives(Section):
    """What a positive is compared with.

    Up to `whole_catalogue_below` items the loss runs over the whole catalogue, and nothing is drawn. Above, every
    step draws columns that all its examples share, so many from each source, however large the batch is:

    in_batch: of the batch's own positives (where it has no more, the rest by popularity); uniform: evenly from the
    catalogue; popular: by how often an item is a target; hard: of the items that the towers rank highest for
    the step's own queries, mined at the start of every epoch from `hard_from` on, `hard_depth` a query; memory: the
    last positives of earlier steps, with the vectors they had then (cross-batch memory, Wang et al., CVPR 2020).
    logq corrects for how often each column is drawn, by the mixture of all sources.
    """

    whole_catalogue_below: Whole = 10_000
    in_batch: Columns = 1024
    uniform: Columns = 1024
    popular: Columns = 0
    hard: Columns = 0
    hard_depth: Count = 50
    hard_from: Count = 2  # epochs count from 1; towers that know nothing yet mine noise
    memory: Columns = 0
    logq: Switch = True

    def covers(self, items: int) -> bool:
        """Whether a catalogue of so many items is compared whole."""
        return items <= self.whole_catalogue_below

    @model_validator(mode="after")
    def _has_a_source(self) -> Negatives:
        if not (self.in_batch or self.uniform or self.popular or self.hard or self.memory):
            raise ValueError("in_batch, uniform, popular, hard and memory are all 0, expected at least one above 0")
        if self.memory and not (self.in_batch or self.popular):
            raise ValueError(
                f"memory = {self.memory} needs in_batch or popular above 0, found both 0: what is remembered gets no "
                f"gradient, so that the same items must come up as fresh columns too"
            )
        if self.hard and self.hard_from > 1 and not (self.in_batch or self.uniform or self.popular):
            raise ValueError(
                f"hard = {self.hard} alone leaves the epochs before hard_from = {self.hard_from} without negatives; "
                f"set another source above 0, or hard_from = 1"
            )
        return self


class Train(Section):
    """How the towers are fitted.

    optimizer "lazy_adam" moves only those rows of an embedding that a step reads, where "adam" moves all, which costs
    more the larger the catalogue is; "auto" is the first where negatives are drawn, the second where all items are
    compared at every step. "adagrad" is TensorFlow Recommenders' usual choice and wants rates near 0.1. With `average`
    above 0, what is validated, kept and served is an exponential moving average of the weights, of which each step
    keeps so much. `xla` compiles the step, a program for each of some
    dozen shapes to which batches are padded; `precision` is what the towers compute in (their weights and the loss stay
    float32, and so does what is served).

    A moment is trained in the `context` (device, hour) of the event in which its target is taken, as a request comes in
    that of what will be taken, or of its own event, which says little of targets that lie later. With target = "next"
    these are one.

    `cold_items` is how often a step sees an item as if it had just been listed: its own id unknown, its trend that of
    an average item. What content says of an item that nobody has taken yet is learned from that; `cold_weight` is how
    often each such target counts: above 1, new items are shown more than they are likely to be taken, and found sooner.

    loss "gbce" judges every item by itself, as a yes or no, where "softmax" holds all that are compared against each
    other: binary cross-entropy, generalised for negatives that are drawn evenly (gSASRec, Petrov and Macdonald, RecSys
    2023). `gbce_t` is how far it makes up for those that are not drawn: 0, plain cross-entropy, leaves scores far too
    sure of themselves; with 1 their sigmoids are probabilities; between, it learns sooner.
    """

    target: Literal["next", "future"] = "future"
    context: Literal["moment", "target"] = "target"  # of "future"
    loss: Literal["softmax", "gbce"] = "softmax"
    gbce_t: Share = 0.75
    horizon: Duration | None = None  # "future": how far after an event its targets may lie
    cold_items: Portion = 0.1
    cold_weight: Positive = 1.8
    weighted: Switch = True  # whether a target counts by its event's strength: data.events.weights and value
    batch: Count = 1024  # about how many examples a step takes; an example is an event to be predicted
    learning_rate: Positive = 1e-3
    max_epochs: Count = 20
    patience: Count = 3
    # after an epoch without a rise, which is undone; 1: nothing is undone, and the rate stays
    rate_cut: Positive = Field(default=0.5, le=1)
    refit_epochs: Count = 2
    max_examples: Count = 2_000_000  # an epoch looks at no more, drawn anew each time
    optimizer: Literal["auto", "adam", "lazy_adam", "adagrad"] = "auto"
    average: Portion = 0.99
    xla: Switch = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    checkpoint_every: Count = 1000  # steps; also at the end of every epoch
    negatives: Negatives = Negatives()

    def optimizer_over(self, items: int) -> str:
        """The optimizer for a catalogue of so many items: never "auto"."""
        if self.optimizer != "auto":
            return self.optimizer
        return "adam" if self.negatives.covers(items) else "lazy_adam"

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> Train:
        if self.target == "next" and self.horizon is not None:
            raise ValueError(f'horizon = {self.horizon!r} does nothing where target = "next"; leave it out')
        unused = type(self).model_fields["gbce_t"].default
        if self.loss == "softmax" and self.gbce_t != unused:
            raise ValueError(f'gbce_t = {self.gbce_t} does nothing where loss = "softmax", expected {unused}')
        return self

    @model_validator(mode="after")
    def _mines_in_time(self) -> Train:
        """Refits go on from epochs that mined: a selection that never does would judge other towers."""
        if self.negatives.hard and self.negatives.hard_from > self.max_epochs:
            raise ValueError(
                f"negatives.hard_from = {self.negatives.hard_from} is after the last epoch, so that nothing is mined: "
                f"expected at most max_epochs = {self.max_epochs}"
            )
        return self

    @model_validator(mode="after")
    def _draws_evenly(self) -> Train:
        """What gBCE makes up for is how many are drawn of how many: all items must be as likely. LogQ is idle then."""
        if self.loss == "softmax":
            return self
        expected = {"in_batch": 0, "popular": 0, "hard": 0, "memory": 0, "logq": False}
        wrong = [name for name, value in expected.items() if getattr(self.negatives, name) != value]
        if wrong:
            listed = ", ".join(f"negatives.{name} = {str(expected[name]).lower()}" for name in wrong)
            found = ", ".join(str(getattr(self.negatives, name)).lower() for name in wrong)
            raise ValueError(
                f'loss = "gbce" takes evenly drawn negatives and no logQ: expected {listed}, found {found}'
            )
        return self


class Index(Section):
    """The searcher and what is asked of it.

    A stock TF Serving cannot load ScaNN's operations. With `core_ops`, a run that searches by ScaNN exports its model a
    second time with core TensorFlow operations alone: exact search below 20,000 items, "ivf" above, tuned to the same
    recall. It is published beside the first, as `<name>-core`, under the same version number. Other searchers need
    core operations alone as they are, and nothing second is made.
    """

    searcher: Literal["auto", "exact", "scann", "ivf"] = "auto"  # auto: exact below 20,000 items, scann above
    target_recall: Positive = Field(default=0.98, le=1)  # against exact search, at `candidates`
    candidates: Count = 100
    builds: Count = 3  # layouts of the searcher that tuning may build
    core_ops: Switch = True  # where ScaNN is what is searched by
    # parts that the index is built in, one after the other, which takes less memory, and searched one after the other,
    # which takes longer; 0: as few as fit into the memory that is free
    shards: Whole = Field(default=0, le=64)
    # items beside the index, or out of date in it, as a share of it, above which an upsert builds the index again
    delta: Share = 0.05


class Floors(Section):
    """Least acceptable values; lifts are relative to the best popularity baseline."""

    lift: Number = 0.0
    slice_lift: Number = -0.1
    searcher_recall: Number = 0.95
    list_lift: Number = 0.0
    min_users: Count = 50  # a slice with fewer reads "cannot tell"


class Gate(Section):
    """Checks that decide whether a model may be published."""

    k: Count = 100
    list_k: Count = 10
    floors: Floors = Floors()


class Evaluation(Section):
    """What is measured beyond what the gates judge."""

    depths: tuple[Count, ...] = (1, 5, 10, 20, 50, 100)  # metrics at each k, as far as lists reach
    sampled_negatives: Whole = 0  # also rank among so many; only to repeat a published table


class Rolling(Section):
    """The test window replayed as production would have lived it, step by step.

    What is asked: in each step once of every query for all that it takes in it, or with `each_event` at every event for
    that event's item, with the history up to it. Recall is measured at `k`, by step or by calendar month (UTC).
    """

    step: Duration | None = None  # how often things are refreshed; default: a tenth of the test window
    each_event: Switch = False
    k: Count | None = None  # default: gate.k
    by: Literal["step", "month"] = "step"
    against: str | None = None  # a popularity by its name, e.g. "popularity 7d"; default: the best on validation
    retrain_every: Whole = 0  # also refit the towers every so many steps


class Ranker(Section):
    """The model that rescores the candidates (DCN-v2).

    It reads every feature but the items' own id, which it reads where items have no other: a short window would teach
    it by ids what was popular just then. With `average` above 0 what is judged and kept is a moving average of its
    weights, as `Train.average` is of the towers'.
    """

    hidden: tuple[Count, ...] = (128, 64)
    cross_layers: Count = 2
    dropout: Portion = 0.1
    learning_rate: Positive = 1e-3
    average: Portion = 0.99
    batch: Count = 64  # requests, each with all its candidates
    max_epochs: Count = 10
    patience: Count = 2
    max_requests: Count = 20_000  # of each of its two windows


class Rerank(Section):
    """List-level goals: maximal marginal relevance, 1 = relevance alone."""

    relevance: Share = 0.9
    pool: Count = 50  # best-ranked candidates among which the list is chosen


class Freshness(Section):
    """How stale a published bundle may be before `twinspire staleness` fails.

    max_age: of the oldest vector among the items that may be shown, since export or upsert computed it, by the wall
    clock; a bare number is seconds. max_missing: share of the available items of today's table that the bundle does not
    show, and share of those it shows that the table no longer holds. max_drift: 1 - cosine between the stored vectors
    and those that the bundle's towers make of today's table, on average over the items that both know.
    """

    max_age: Duration = "30d"
    max_missing: Share = 0.01
    max_drift: Number = Field(default=0.01, ge=0, le=2)


class Publish(Section):
    """Where versions of the bundle go."""

    root: Path = Path("bundles")
