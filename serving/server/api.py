"""What the friendly interface takes and gives: JSON, checked field by field."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

LONGEST = 1_000  # characters of an id
Id = Annotated[str, Field(min_length=1, max_length=LONGEST)]
# of a feature; whole numbers stay whole: a category 5 is not "5.0"
Value = str | int | float | bool | list[str | int | float] | None
Time = Annotated[int, Field(strict=True, ge=-(2**62), le=2**62, description="On the events' time axis.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RecommendRequest(_Strict):
    """A list for a known user, for somebody described by features and history, or for nobody in particular."""

    user: Id | None = Field(None, description="Whose stored features and history are used.", examples=["u1"])
    features: dict[str, Value] = Field({}, description="Features of the user, over the stored ones, by name.")
    context: dict[str, Value] = Field({}, description="Features of the request, by name.")
    history: list[Id] | None = Field(None, description="Item ids, oldest first, instead of the stored ones.")
    history_time: list[Time] | None = Field(None, description="Their times; by default the request's.")
    likes: list[Id] = Field([], description='What someone new chose: "feature=value" of items, or item ids.')
    exclude: list[Id] = Field([], description="Item ids that must not be listed.")
    filters: dict[str, list[str]] = Field({}, description="By name, the values of which an item must have one.")
    k: Annotated[int, Field(strict=True, ge=1)] = Field(10, description="Places of the list.")
    time: Time | None = Field(None, description="When it is asked; by default now.")
    relevance: float | None = Field(None, ge=0, le=1, description="1 lists by score alone, 0 as unlike as can be.")
    explain: bool = Field(False, description="Say for each item what each stage gave it, and why it is there.")
    shown: bool = Field(True, description="False for a look that the user never sees: it is no exposure.")


class Because(BaseModel):
    """The item of the user's history that is nearest to a listed one."""

    item: str
    title: str


class Listed(BaseModel):
    """One place of a list.

    score: the ranker's, or popularity's; source: "model", or "popularity" where it filled the place; retrieval and
    because: where an explanation was asked for.
    """

    item: str
    title: str
    score: float
    source: str
    retrieval: float | None = None
    because: Because | None = None


class RecommendAnswer(BaseModel):
    """A list.

    source: "model", "popularity" where a popularity bundle was published, "fallback" where popularity answered for a
    model that did not, for the `reason`; reason: also "arm", where the version of the user's arm is not served and the
    stable one answered; version: the one that was asked, 0 where none is loaded; arms: of the experiments the user is
    in.
    """

    items: list[Listed]
    source: str
    reason: str | None = None
    model: str
    version: int
    arms: dict[str, str] = {}
    request: str
    seconds: float


class SimilarRequest(_Strict):
    """The neighbours of an item."""

    item: Id
    k: Annotated[int, Field(strict=True, ge=1)] = 10
    exclude: list[Id] = []
    filters: dict[str, list[str]] = {}


class Neighbour(BaseModel):
    """An item, and the cosine of its embedding with the one asked for."""

    item: str
    title: str
    score: float


class SimilarAnswer(BaseModel):
    """The nearest items, nearest first."""

    items: list[Neighbour]
    model: str
    version: int
    seconds: float


class NewEvent(_Strict):
    """Something that a user did just now, or at `time`."""

    user: Id
    item: Id
    time: Time | None = None
    kind: str | None = Field(None, max_length=LONGEST, description="Of event, where the events name kinds.")
    value: float | None = None
    rating: float | None = None
    context: dict[str, Value] = Field({}, description="Features of the event, by name.")


class EventsRequest(_Strict):
    """Events, in any order; one that is there already counts once."""

    events: list[NewEvent] = Field(min_length=1, max_length=1_000)


class EventsAnswer(BaseModel):
    """How many were taken in; stored: whether the next list knows of them, else only the log does."""

    accepted: int
    stored: bool


class UserFeatures(_Strict):
    """Features of a user from now on, over those that the bundle knows."""

    features: dict[str, Value]


class Taken(BaseModel):
    """An item of a history, and when it was taken."""

    item: str
    title: str
    time: int


class User(BaseModel):
    """What is known of a user, what was taken last first."""

    user: str
    known: bool
    features: dict[str, Any]
    history: list[Taken]


class Item(BaseModel):
    """An item and its title."""

    item: str
    title: str


class Found(BaseModel):
    """What a search found."""

    users: list[str] = []
    items: list[Item] = []


class Choices(BaseModel):
    """Values that can be chosen of a filter, or liked of a feature; more: whether there are others beside these."""

    name: str
    values: list[str]
    more: bool = False


class Feature(BaseModel):
    """A feature that a request may give.

    of: "user" or "request"; values: of a category, those that the version knows, none where its bundle does not name
    them; more: whether there are others beside these.
    """

    name: str
    kind: str
    of: str
    values: list[str] = []
    more: bool = False


class Catalogue(BaseModel):
    """What can be asked of the version that answers.

    meaning: of an event; kinds: of events, where they are told apart; most: places of a list; relevance: what lists are
    made with unless asked otherwise, none where it changes nothing; neighbours: whether items have any; clock: whether
    times are seconds since 1970.
    """

    model: str
    version: int
    meaning: str
    items: int
    filters: list[Choices]
    likes: list[Choices]
    features: list[Feature]
    kinds: list[str]
    most: int
    relevance: float | None
    neighbours: bool
    clock: bool


class Failure(BaseModel):
    """What was wrong, in one line that names the field."""

    error: str
