"""The config of the stages, a section each, in the order in which they run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from configs.units import Count, Cut, Duration, Section


class Split(Section):
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


class History(Section):
    """How the last items of a query are read."""

    encoder: Literal["mean", "transformer"] = "transformer"
    length: Count = 50
    layers: Count = 2
    heads: Count = 2


class Towers(Section):
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


class Trend(Section):
    """Point-in-time popularity of items, kept apart from what an item is."""

    windows: tuple[Duration, ...] = ()  # default: 1d, 7d, 30d; without a clock 1, 5 and 25 % of the log
    bucket: Duration | None = None  # how often it is counted anew; default: 1d, or 1 % of the log


class Negatives(Section):
    """What a positive is compared with.

    Up to `whole_catalogue_below` items the softmax runs over the whole catalogue; above, over the batch's own
    positives and `uniform` items drawn evenly, with logQ correction for both.
    """

    whole_catalogue_below: int = Field(default=10_000, ge=0)
    uniform: int = Field(default=1024, ge=0)
    logq: bool = True


class Train(Section):
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


class Index(Section):
    """The searcher and what is asked of it."""

    searcher: Literal["auto", "exact", "scann"] = "auto"  # auto: exact below 20,000 items
    target_recall: float = Field(default=0.98, gt=0, le=1)  # against exact search, at `candidates`
    candidates: Count = 100


class Floors(Section):
    """Least acceptable values; lifts are relative to the best popularity baseline."""

    lift: float = 0.0
    slice_lift: float = -0.1
    searcher_recall: float = 0.95
    list_lift: float = 0.0
    min_users: Count = 50  # a slice with fewer reads "cannot tell"


class Gate(Section):
    """Checks that decide whether a model may be published."""

    k: Count = 100
    list_k: Count = 10
    floors: Floors = Floors()


class Evaluation(Section):
    """What is measured beyond what the gates judge."""

    depths: tuple[Count, ...] = (1, 5, 10, 20, 50, 100)  # metrics at each k, as far as lists reach
    sampled_negatives: int = Field(default=0, ge=0)  # also rank among so many; only to repeat a published table


class Rolling(Section):
    """The test window replayed as production would have lived it, step by step."""

    step: Duration | None = None  # how often things are refreshed; default: a tenth of the test window
    retrain_every: int = Field(default=0, ge=0)  # also refit the towers every so many steps


class Ranker(Section):
    """The model that rescores the candidates (DCN-v2)."""

    hidden: tuple[Count, ...] = (128, 64)
    cross_layers: Count = 2
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch: Count = 64  # requests, each with all its candidates
    max_epochs: Count = 10
    patience: Count = 2
    max_requests: Count = 20_000


class Rerank(Section):
    """List-level goals: maximal marginal relevance, 1 = relevance alone."""

    relevance: float = Field(default=0.9, ge=0, le=1)
    pool: Count = 50  # best-ranked candidates among which the list is chosen


class Publish(Section):
    """Where versions of the bundle go."""

    root: Path = Path("bundles")
