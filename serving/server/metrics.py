"""What a server counts, for Prometheus and for its own page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_RECENT = 2_000  # requests that quantiles are of


class Metrics:
    """Counters of one server. Names begin with `twinspire_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, what: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"twinspire_{name}", what, labels, registry=self.registry)

        def gauge(name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"twinspire_{name}", what, labels, registry=self.registry)

        self.requests = counter(
            "requests", "Answers by route and status, of gRPC by method and code.", ("route", "status")
        )
        self.seconds = Histogram(
            "twinspire_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.shed = counter("shed", "Requests refused because too many waited.")
        self.shed_seconds = Histogram(
            "twinspire_shed_seconds", "Time to refuse one.", buckets=_SECONDS, registry=self.registry
        )
        self.waiting = gauge("in_flight", "Requests that are being answered or wait.")
        self.connections = gauge("connections", "Open connections of clients by HTTP.")
        self.closed = counter(
            "connections_closed",
            "Those closed for a request that came too slowly (slow), an answer that nobody read (unread), a head that "
            "was too large (head), what is no HTTP (malformed), or room for others (full).",
            ("reason",),
        )
        self.fallbacks = counter("fallbacks", "Lists that popularity answered, by reason.", ("reason",))
        self.refused = counter("versions_refused", "Versions that were not served, by reason.", ("reason",))
        self.swaps = counter("version_swaps", "Changes of who answers.")
        self.unreadable = gauge("rollout_unreadable", "1 while rollout.json cannot be read and an earlier one stands.")
        self.served = gauge("version", "The version behind each label.", ("label",))
        self.restarts = gauge("worker_restarts", "Times a version's process was started again.", ("version",))
        self.store_up = gauge("store_up", "Whether the store answered when it was asked last.")
        self.store = counter("store_failures", "Calls that the store did not answer, by call.", ("call",))
        self.events = counter("events", "Events taken in.")
        self.pruned = counter("events_pruned", "Stored events dropped, as versions know them from their data.")
        self.dropped = counter("log_rows_dropped", "Rows that could not be logged.", ("log",))
        self.exposures = counter("exposures", "Lists answered, by experiment and arm.", ("experiment", "arm"))
        self.not_served = counter(
            "arms_not_served",
            "Lists of the stable version for users of an arm whose own version was not served.",
            ("experiment", "arm"),
        )
        self.shadow = counter("shadow", "Lists asked of the shadow version, by outcome.", ("outcome",))
        self.shadow_overlap = Histogram(
            "twinspire_shadow_overlap",
            "Share of a list that the shadow version lists too.",
            buckets=tuple(step / 10 for step in range(1, 11)),
            registry=self.registry,
        )
        self._recent: deque[float] = deque(maxlen=_RECENT)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """While this lasts, one more request is answered or waits."""
        self.waiting.inc()
        try:
            yield
        finally:
            self.waiting.dec()

    def had_no_room(self, route: str, status: int | str, seconds: float) -> None:
        """Count a request that was refused because too many waited."""
        self.answered(route, status, seconds)
        self.shed.inc()
        self.shed_seconds.observe(seconds)

    def answered(self, route: str, status: int | str, seconds: float) -> None:
        """Count an answer: by status of HTTP, or by the name of gRPC's code. Lists' times are kept for `quantiles`."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if route == "/recommend":
            self._recent.append(seconds)

    def quantiles(self) -> dict[str, float]:
        """Milliseconds in which half, 99 % and 99.9 % of the latest lists were answered; empty before the first."""
        if not self._recent:
            return {}
        found = np.quantile(np.array(self._recent), (0.5, 0.99, 0.999)) * 1e3
        return dict(zip(("p50", "p99", "p99.9"), found.round(3).tolist(), strict=True))

    def reasons(self) -> dict[str, int]:
        """Lists that popularity answered so far, by reason."""
        return {one.labels["reason"]: int(one.value) for one in _totals(self.fallbacks)}

    def arms_not_served(self) -> dict[str, int]:
        """Lists of the stable version so far, by "experiment/arm" whose own version was not served."""
        return {f"{one.labels['experiment']}/{one.labels['arm']}": int(one.value) for one in _totals(self.not_served)}

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


def _totals(counter: Counter) -> list[Sample]:
    return [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
