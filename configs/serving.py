"""The typed settings of a server: what `twinspire serve --config FILE` may say."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.experiments import Experiments
from configs.units import Count, Duration, Number, Positive, Section, Whole

Seconds = Annotated[Positive, Field(le=31_536_000)]  # a year: timers take no more than some hundreds of them


class Batch(Section):
    """Requests answered in one call of the graph: as many as wait, up to `size`, for at most `wait` seconds."""

    size: Annotated[Count, Field(le=1024)] = 1
    wait: Annotated[Number, Field(ge=0, le=1)] = 0.0


class Limits(Section):
    """What one request may cost, and how many may wait.

    deadline: seconds until an answer, after which popularity answers; queue: requests that wait beside those that are
    answered, more are refused at once; connections: open at once, one more closes the one that has waited longest for
    its client; read: seconds in which a request must be here, head and body, and an answer be read; body: bytes; k:
    places of a list; ids: in a history, in what is excluded or of one filter.
    """

    deadline: Seconds = 0.5
    queue: Count = 64
    connections: Count = 500
    read: Seconds = 10.0
    body: Count = 1_000_000
    k: Count = 1_000
    ids: Count = 10_000


class Runtime(Section):
    """Each version's process. calls: at once, by default two a core, so that one runs while the other's answer is on
    its way; threads: within one call, whose small products take longer in several, which wait for each other.
    """

    calls: Annotated[Count, Field(le=128)] = 2 * (os.cpu_count() or 1)
    threads: Annotated[Count, Field(le=127)] = 1
    batch: Batch = Batch()


class Explore(Section):
    """The last `slots` places of each list are drawn at random from the `pool` candidates that would stand there and
    after, and their likelihoods logged: it costs a little of each list, and lets logs tell what other lists would do.
    """

    slots: Count = 1
    pool: Count = 20

    @model_validator(mode="after")
    def _is_a_choice(self) -> Explore:
        if self.pool <= self.slots:
            raise ValueError(f"pool: found {self.pool}, expected more than slots, {self.slots}")
        return self


class Logs(Section):
    """Events and exposures as Parquet files under `folder`: a file at so many rows, or after so many seconds."""

    folder: str = "logs"
    rows: Count = 10_000
    seconds: Seconds = 60.0


class Serving(Section):
    """One server.

    clock: "wall" takes now for the time of a request that names none, "data" the end of the version's data, for old
    data; poll: seconds between looks for new versions; api_key: what clients must send; state: folder of what the
    server keeps; store: "sqlite:PATH" or "redis://HOST:PORT/DB", by default a file in `state`; keep: how long after it
    came an event stays in the store at least, "90d" or seconds, after which it goes once every version that is loaded
    has data beyond it; logs: None keeps none.
    """

    host: str = "127.0.0.1"
    port: Annotated[Whole, Field(le=65535)] = 8080
    grpc_port: Annotated[Whole, Field(le=65535)] | None = None
    api_key: str | None = Field(default=None, min_length=8)
    clock: Literal["wall", "data"] = "wall"
    poll: Seconds = 2.0
    state: str = "serving-state"
    store: str | None = None
    keep: Duration = "90d"
    limits: Limits = Limits()
    runtime: Runtime = Runtime()
    logs: Logs | None = Logs()
    explore: Explore | None = None
    experiments: Experiments = ()

    @property
    def room(self) -> int:
        """Requests that may be answered or wait at once; more are refused."""
        return self.runtime.calls * self.runtime.batch.size + self.limits.queue
