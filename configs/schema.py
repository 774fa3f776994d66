"""The typed schema of a run: what a TOML file may say, and what each key means.

Every model is frozen and refuses unknown keys; `configs.load` fills them from a file and `--set`.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str | int) -> int:
    """Length of a window on the time axis: "7d", "12h", "30m" in seconds, or a bare number of order steps.

    >>> duration("7d")
    604800
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if not match:
        raise ValueError(f'{text!r} is not a duration; expected e.g. "7d", "12h", "30m"')
    return int(match[1]) * _UNITS[match[2]]


def _valid_duration(value: str | int) -> str | int:
    if duration(value) <= 0:
        raise ValueError(f"{value!r} is not a positive duration")
    return value


Duration = Annotated[str | int, AfterValidator(_valid_duration)]
# a TOML date without quotes is as good as one with them
Cut = Annotated[float | str, BeforeValidator(lambda cut: cut.isoformat() if isinstance(cut, date) else cut)]
Count = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- data ---------------------------------------------------------------------------------------------------


class EventTable(_Section):
    """Where the observed events are and which column is what."""

    path: str | None = None  # file or glob, Parquet or CSV; relative to data.path
    query: str  # who is recommended to: a user, session, household or device
    item: str
    time: str | None = None  # a clock: a timestamp, ISO text, or a number in `time_unit`
    order: str | None = None  # instead of a clock: a number that orders all events of the log
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    kind: str | None = None  # column that says what kind of event a row is
    weights: dict[str, float] = {}  # strength of each kind; kinds not named are set aside
    rating: str | None = None  # column with an explicit rating, a number; missing where an event has none
    meaning: str  # what one row means, and what a missing one means

    @model_validator(mode="after")
    def _one_axis(self) -> EventTable:
        if (self.time is None) == (self.order is None):
            raise ValueError("name exactly one of time (a clock) and order (a sequence number)")
        if bool(self.weights) != (self.kind is not None):
            raise ValueError("kind and weights go together: the column, and a strength for each value")
        if any(weight <= 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be above 0, found {self.weights}; leave a kind out to drop it")
        return self


class ItemTable(_Section):
    """The catalogue. Without a path, the items are those seen in the events."""

    path: str | None = None
    id: str
    title: str | None = None  # shown to people; the id is shown where there is none
    available_from: str | None = None  # when an item enters the catalogue, on the events' time axis


class QueryTable(_Section):
    """Static columns of who is asked for. Without a path, only their ids are known."""

    path: str | None = None
    id: str


class Data(_Section):
    """Where the tables come from and how rows are accepted."""

    source: Literal["simulated", "movielens-1m", "movielens-100k", "tables"]
    path: Path | None = None
    events: EventTable
    items: ItemTable
    queries: QueryTable | None = None
    min_item_events: int = Field(default=0, ge=0)  # for published protocols: rarer items leave the catalogue
    min_query_events: int = Field(default=0, ge=0)  # the same for queries; both together make a k-core
    seen_items: Literal["filter", "keep"] = "filter"  # keep: what was taken may be recommended again (groceries)
    segment: str | None = None  # category feature of the query table; slices and popularity use it
    simulated_events: Count = 240_000  # draws of the simulated world; repeats drop out, so about 200,000 events

    @model_validator(mode="after")
    def _has_path(self) -> Data:
        if self.source != "simulated" and self.path is None:
            raise ValueError(f'path is needed for source = "{self.source}": the folder that holds the tables')
        if self.source == "tables" and self.events.path is None:
            raise ValueError('events.path is needed for source = "tables"')
        return self


# --- features -----------------------------------------------------------------------------------------------


class _Feature(_Section):
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")  # it becomes the name of an input of the served graph
    table: Literal["items", "queries", "events"]
    column: str | None = None  # default: the feature's name
    dimension: Count = 16

    @property
    def source_column(self) -> str:
        """The column of the source table that holds it."""
        return self.column or self.name


class IdFeature(_Feature):
    """The id itself; hidden now and then in training, so that content learns to carry the cold."""

    kind: Literal["id"]
    table: Literal["items", "queries"]
    dimension: Count = 64
    dropout: float = Field(default=0.1, ge=0, lt=1)
    min_count: Count = 2  # ids with fewer training events are treated as unknown


class CategoryFeature(_Feature):
    """One value out of few."""

    kind: Literal["category"]


class MultiCategoryFeature(_Feature):
    """Several values in one text column, joined by `separator` (Parquet lists are joined on reading)."""

    kind: Literal["multi_category"]
    separator: str = "|"


class NumberFeature(_Feature):
    """A finite number, standardised; where there is none, `missing`, or an error without it."""

    kind: Literal["number"]
    missing: float | None = None
    log: bool = False  # log(1 + x) first; for amounts and counts


class TextFeature(_Feature):
    """Free text as a bag of words."""

    kind: Literal["text"]
    words: Count = 10_000
    length: Count = 32


class TimeFeature(_Feature):
    """The moment of the request as hour of day and day of week, cyclical (UTC)."""

    kind: Literal["time"]
    table: Literal["events"]


class VectorFeature(_Feature):
    """A precomputed embedding of `width` numbers, one list column."""

    kind: Literal["vector"]
    width: Count


Feature = Annotated[
    IdFeature | CategoryFeature | MultiCategoryFeature | NumberFeature | TextFeature | TimeFeature | VectorFeature,
    Field(discriminator="kind"),
]


# --- stages -------------------------------------------------------------------------------------------------


class Split(_Section):
    """What is learned from and what is judged on, and what a judged request asks.

    global_time cuts the log at three moments, each a quantile of the events' times or an ISO date: towers learn before
    `validation`, are chosen on validation to `ranker`, the ranker learns on `ranker` to `test`, and everything is
    judged on what comes after `test`. The other two leak the future and are here to repeat published protocols:
    leave_last_out holds out each query's last three events, one for each window; random deals events to the windows
    by chance, their shares as the quantiles say.

    A request's history is as of the cut, or rolls up to one of the query's events in the window, drawn at random (for
    queries that live short, as sessions do). Its targets are all that the query takes from there on, the next item,
    or the last. `horizon` leaves out what is taken later than that after the cut (rolling: after the request).
    """

    protocol: Literal["global_time", "leave_last_out", "random"] = "global_time"
    validation: Cut = 0.8
    ranker: Cut = 0.85
    test: Cut = 0.9
    history: Literal["cut", "rolling"] = "cut"
    targets: Literal["all_future", "next", "last"] = "all_future"
    horizon: Duration | None = None

    @model_validator(mode="after")
    def _needs_time(self) -> Split:
        if self.protocol == "global_time":
            return self
        if self.horizon is not None:
            raise ValueError(f"horizon = {self.horizon!r} needs protocol = \"global_time\", found {self.protocol!r}")
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


def moment(cut: str) -> int:
    """Unix seconds of an ISO date (UTC unless it names a zone)."""
    parsed = datetime.fromisoformat(cut)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp())


class Baselines(_Section):
    """Which baselines are fitted, and how hard each is tuned; windows are those of recent popularity.

    Each family tries at most `trials` settings on the validation window, its reference setting first: with 1 nothing is
    tuned. Those that need an extra or do not apply to the data are left out, and the stage says why.
    """

    windows: tuple[Duration, ...] = ()  # default: 7d, 30d; without a clock 5 and 25 % of the log
    trials: Count = 6
    content: bool = True  # TF-IDF of the items' words and categories
    user_neighbours: bool = True
    neighbours: bool = True  # of items
    ease: bool = True
    als: bool = True
    bpr: bool = True
    lightfm: bool = True  # needs twinspire[baselines]
    ratings: bool = True  # Surprise, where data.events.rating is named; needs twinspire[baselines]
    blends: bool = True  # recent popularity mixed into EASE and item neighbours
    factors: Count = 64  # of ALS and BPR
    max_items: Count = 10_000  # EASE and neighbours on ratings hold items x items; larger catalogues do without


class History(_Section):
    """How the last items of a query are read."""

    encoder: Literal["mean", "transformer"] = "transformer"
    length: Count = 50
    layers: Count = 2
    heads: Count = 2


class Towers(_Section):
    """Both towers: width, history encoder, and how scores are formed."""

    embedding_dim: Count = 64
    hidden: tuple[Count, ...] = (128,)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = Field(default=0.1, gt=0)
    history: History = History()

    @model_validator(mode="after")
    def _heads_divide(self) -> Towers:
        if self.history.encoder == "transformer" and self.embedding_dim % self.history.heads:
            raise ValueError(
                f"embedding_dim = {self.embedding_dim}, expected a multiple of history.heads = {self.history.heads}"
            )
        return self


class Trend(_Section):
    """Point-in-time popularity of items, kept apart from what an item is."""

    windows: tuple[Duration, ...] = ()  # default: 1d, 7d, 30d; without a clock 1, 5 and 25 % of the log
    bucket: Duration | None = None  # how often it is counted anew; default: 1d, or 1 % of the log


class Negatives(_Section):
    """What a positive is compared with.

    Up to `whole_catalogue_below` items the softmax runs over the whole catalogue; above, over the batch's own
    positives and `uniform` items drawn evenly, with logQ correction for both.
    """

    whole_catalogue_below: int = Field(default=10_000, ge=0)
    uniform: int = Field(default=1024, ge=0)
    logq: bool = True


class Train(_Section):
    """How the towers are fitted."""

    target: Literal["next", "future"] = "future"
    horizon: Duration | None = None  # "future": how far after an event its targets may lie
    batch: Count = 1024  # about how many examples a step takes; an example is an event to be predicted
    learning_rate: float = Field(default=1e-3, gt=0)
    max_epochs: Count = 20
    patience: Count = 3
    refit_epochs: Count = 2
    max_examples: Count = 2_000_000  # an epoch looks at no more, drawn anew each time
    negatives: Negatives = Negatives()


class Index(_Section):
    """The searcher and what is asked of it."""

    searcher: Literal["auto", "exact", "scann"] = "auto"  # auto: exact below 20,000 items
    target_recall: float = Field(default=0.98, gt=0, le=1)  # against exact search, at `candidates`
    candidates: Count = 100


class Floors(_Section):
    """Least acceptable values; lifts are relative to the best popularity baseline."""

    lift: float = 0.0
    slice_lift: float = -0.1
    searcher_recall: float = 0.95
    list_lift: float = 0.0
    min_users: Count = 50  # a slice with fewer reads "cannot tell"


class Gate(_Section):
    """Checks that decide whether a model may be published."""

    k: Count = 100
    list_k: Count = 10
    floors: Floors = Floors()


class Evaluation(_Section):
    """What is measured beyond what the gates judge."""

    depths: tuple[Count, ...] = (1, 5, 10, 20, 50, 100)  # metrics at each k, as far as lists reach
    sampled_negatives: int = Field(default=0, ge=0)  # also rank among so many; only to repeat a published table


class Rolling(_Section):
    """The test window replayed as production would have lived it, step by step."""

    step: Duration | None = None  # how often things are refreshed; default: a tenth of the test window
    retrain_every: int = Field(default=0, ge=0)  # also refit the towers every so many steps


class Range(_Section):
    """Numbers from `low` to `high`, both included; `log` draws evenly over their logarithms."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low}, high = {self.high}, expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}, expected above 0 where log = true")
        return self


def _by_dotted_key(space: Any, above: str = "") -> Any:
    """Sections inside one another, as TOML reads keys without quotes, as one table of dotted keys."""
    if not isinstance(space, dict):
        return space
    found = {}
    for name, value in space.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and not set(value) & set(Range.model_fields):
            found |= _by_dotted_key(value, f"{key}.")
        elif isinstance(value, (dict, list, tuple, Range)):
            found[key] = value
        else:
            raise ValueError(f"{key}: found {value!r}, expected choices [a, b] or a range {{ low = a, high = b }}")
    return found


_Choices = Annotated[tuple[Any, ...], Field(min_length=1)]
_Domain = Annotated[
    Annotated[_Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "choices" if isinstance(value, (list, tuple)) else "range"),
]


class Tune(_Section):
    """A bounded search for better settings of the towers, judged on the validation window alone.

    space: choices or a range by dotted key of `towers`, `trend` or `train`; where it is empty, some that matter.
    """

    trials: Count = 20
    minutes: float | None = Field(default=None, gt=0)  # of trials; the one that runs then ends with its epoch
    seed: int = Field(default=0, ge=0)
    space: Annotated[dict[str, _Domain], BeforeValidator(lambda space: _by_dotted_key(space))] = {}


class Ranker(_Section):
    """The model that rescores the candidates (DCN-v2)."""

    hidden: tuple[Count, ...] = (128, 64)
    cross_layers: Count = 2
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch: Count = 64  # requests, each with all its candidates
    max_epochs: Count = 10
    patience: Count = 2
    max_requests: Count = 20_000


class Rerank(_Section):
    """List-level goals: maximal marginal relevance, 1 = relevance alone."""

    relevance: float = Field(default=0.9, ge=0, le=1)
    pool: Count = 50  # best-ranked candidates among which the list is chosen


class Publish(_Section):
    """Where versions of the bundle go."""

    root: Path = Path("bundles")


# inputs of the served graph, and columns of the prepared tables
_RESERVED = {"time", "history", "history_time", "exclude", "k", "candidates"}
_RESERVED |= {"query", "item", "weight", "kind", "rating", "reason", "query_row", "item_row", "available_from"}


class Config(_Section):
    """One run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
    data: Data
    features: tuple[Feature, ...]
    split: Split = Split()
    baselines: Baselines = Baselines()
    towers: Towers = Towers()
    trend: Trend = Trend()
    train: Train = Train()
    index: Index = Index()
    gate: Gate = Gate()
    evaluation: Evaluation = Evaluation()
    rolling: Rolling = Rolling()
    tune: Tune = Tune()
    ranker: Ranker = Ranker()
    rerank: Rerank = Rerank()
    publish: Publish = Publish()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        # Lower case, as the engines that hold the tables take "Price" and "price" for one column.
        names = [feature.name.lower() for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"features: the name {name!r} is used {names.count(name)} times")
            if name in _RESERVED or iskeyword(name):
                raise ValueError(f"features: the name {name!r} is reserved; choose another and set column")
        if not self.on("items"):
            raise ValueError("features: none describes items; expected at least the item id")
        if self.data.events.order:
            clocks = [feature.name for feature in self.features if feature.kind == "time"]
            if clocks:
                raise ValueError(f"features: {clocks[0]!r} needs a clock, and data.events.order has none")
            windows = (*self.baselines.windows, *self.trend.windows, self.trend.bucket, self.train.horizon)
            windows += (self.split.horizon, self.rolling.step)
            dates = (self.split.validation, self.split.ranker, self.split.test)
            for value in (*windows, *dates):
                if isinstance(value, str):
                    raise ValueError(f"{value!r} needs a clock, and data.events.order has none; give order steps")
        if self.data.segment and self.data.segment not in {
            feature.name for feature in self.on("queries") if feature.kind == "category"
        }:
            raise ValueError(f"data.segment: {self.data.segment!r} is no category feature of queries")
        if self.rerank.pool > self.index.candidates:
            raise ValueError(
                f"rerank.pool = {self.rerank.pool} is above index.candidates = {self.index.candidates}: "
                f"a list cannot be chosen from more than is retrieved"
            )
        if self.gate.list_k > self.rerank.pool:
            raise ValueError(f"gate.list_k = {self.gate.list_k} is above rerank.pool = {self.rerank.pool}")
        if self.index.candidates < self.gate.k:
            raise ValueError(f"index.candidates = {self.index.candidates} is below gate.k = {self.gate.k}")
        return self

    def on(self, table: str) -> tuple[Feature, ...]:
        """Features of one table ("items", "queries" or "events"), in file order."""
        return tuple(feature for feature in self.features if feature.table == table)
