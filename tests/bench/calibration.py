"""`make bench-calibration DATA=...`: are the file, the protocol and the metrics those of the published figures?

Plain towers (no convolutions) under the losses of two papers should land on their figures:

- gSASRec (Petrov and Macdonald, RecSys 2023), with the settings of its authors' code (gSASRec-pytorch): gBCE with
  t = .75 and 256 even negatives for each positive, 128 wide, two layers of one head, the last 200 items, dropout .5,
  items read and items scored by tables of their own, inner products without a bias, Adam at .001;
- SASRec+ (Klenitskiy and Vasilev, RecSys 2023): a softmax over the whole catalogue; towers half as wide as those of
  `tests.bench.sequences`, fitted until they level off.

Protocol, as both papers have it: of each user the last event is the test, the one before it the validation. The towers
learn from what is before both. The test's history holds everything before the last event, the validation event
included; what a user has taken is filtered, and all other items are ranked.

What is not as in gSASRec, as far as known: the 256 negatives are drawn for a step and shared by its positives, theirs
for each position; what the user has taken is left out of them, theirs may hold it, even the positive; scores start at
what an average item deserves instead of even odds (`towers.losses.GeneralisedBCE`); steps of 4,096 positives over whole
histories, theirs of 128 users (13,700 positives of their last 200 events); chosen by the HR@10 of all users within 64
epochs of 240 steps, theirs by the NDCG@10 of 512 users, when 200 epochs of 48 steps have brought nothing (the fit that
they publish is of step 86,064); relative positions instead of absolute ones, GELU at twice the width instead of ReLU at
once, dropout behind attention instead of on its weights, norms before keys and values too, and a linear layer over each
tower's end.
"""

from __future__ import annotations

from tests.bench.asked import Asked
from tests.bench.harness import Row, bench
from tests.bench.sequences import PUBLISHED, SELECTED, K, fitted

WITHIN = 0.01
PLAIN = ("towers.history.convolution=0", "train.refit_epochs=1")  # the refitted towers are not looked at
SETTINGS = {
    "gSASRec": (
        *PLAIN,
        "towers.item_bias=false",
        "towers.history.items=id",
        "towers.history.heads=1",
        "towers.history.dropout=0.5",
        "towers.history.input_dropout=0.5",
        "train.loss=gbce",
        "train.gbce_t=0.75",
        "train.negatives.whole_catalogue_below=0",
        "train.negatives.in_batch=0",
        "train.negatives.uniform=256",
        "train.negatives.logq=false",
        "train.average=0.0",
        "train.max_epochs=64",
        "train.patience=16",
        "train.rate_cut=1.0",
    ),
    "SASRec+": (
        *PLAIN,
        "towers.embedding_dim=64",
        "towers.temperature=0.125",
        "towers.history.dropout=0.2",
        "towers.history.input_dropout=0.2",
        "train.max_epochs=16",
    ),
}


def measure(asked: Asked) -> list[Row]:
    """Fit once under the loss of each peer, and hold the selected fit against the figures of who published it."""
    rows = []
    for peer in asked.peers:
        found = fitted(asked, 0, *SETTINGS[peer])[SELECTED]
        for metric, value, published in zip((f"HR@{K}", f"NDCG@{K}"), found, PUBLISHED[SELECTED][peer], strict=True):
            met = abs(value - published) <= WITHIN
            rows.append(Row(f"as {peer}: {metric}", value, "", f"{peer} {published:.3f}", f"within {WITHIN}", met))
    return rows


if __name__ == "__main__":
    bench("calibration", lambda: measure(Asked.of("data/ml-1m-sequences", peers=tuple(SETTINGS))))
