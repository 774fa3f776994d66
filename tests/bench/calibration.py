"""`make bench-calibration DATA=...`: are the file, the protocol and the metrics those of the published figures?

Towers as plain as SASRec (half as wide as the configuration that `tests.bench.sequences` measures, no convolutions) and
trained, as SASRec+ is, by a softmax over the whole catalogue, fitted until they level off, should land on its figures.
gSASRec, which mends SASRec's sampled loss instead, stands beside it. Trained on all but the last two events and chosen
on the second last, seen items filtered, the validation event in the history.
"""

from __future__ import annotations

from tests.bench.asked import Asked
from tests.bench.harness import Row, bench
from tests.bench.sequences import PUBLISHED, SELECTED, K, fitted

PEERS, WITHIN = ("SASRec+", "gSASRec"), 0.01
PLAIN = (
    "towers.embedding_dim=64",
    "towers.temperature=0.125",
    "towers.history.convolution=0",
    "towers.history.dropout=0.2",
    "towers.history.input_dropout=0.2",
    "train.max_epochs=16",
    "train.refit_epochs=1",
)


def measure(asked: Asked) -> list[Row]:
    """Fit once, and hold the selected fit against each peer's figures."""
    goal, found = f"within {WITHIN}", fitted(asked, 0, *PLAIN)[SELECTED]
    return [
        Row(f"plain towers: {metric}", value, "", f"{peer} {published:.3f}", goal, abs(value - published) <= WITHIN)
        for peer in PEERS
        for metric, value, published in zip((f"HR@{K}", f"NDCG@{K}"), found, PUBLISHED[SELECTED][peer], strict=True)
    ]


if __name__ == "__main__":
    bench("calibration", lambda: measure(Asked.of("data/ml-1m-sequences")))
