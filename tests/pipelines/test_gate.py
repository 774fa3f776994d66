"""What the gate says in one line."""

import numpy as np
import pytest

from pipelines.gate import summary
from pipelines.verdicts import lift_verdict, slice_verdict


def _lift(ours: float, requests: int, slice: str = "all"):
    values = (np.full(requests, ours), np.full(requests, 0.5))
    if slice == "all":
        return lift_verdict("candidates", "recall@20 lift over popularity", *values, 0.0, 30)
    return slice_verdict("candidates", "recall@20 lift over popularity", slice, *values, -0.1, 30)


@pytest.mark.parametrize(
    ("verdicts", "state", "failed"),
    [
        ([_lift(0.6, 40), _lift(0.6, 9, "few")], "passed", 0),
        ([_lift(0.4, 40), _lift(0.6, 9, "few")], "FAILED", 1),
        ([_lift(0.6, 40), _lift(0.1, 35, "new")], "FAILED", 1),
        ([_lift(0.6, 12), _lift(0.6, 9, "few")], "CANNOT TELL from 12 requests, expected at least 30 (gate.floors.", 0),
        ([_lift(0.6, 12), _lift(0.1, 35, "new")], "FAILED", 1),
    ],
)
def test_too_few_requests_are_no_failure_and_no_pass(verdicts, state, failed):
    said = summary(verdicts, 30)
    assert said.startswith(f"gate {state}")
    assert said.endswith(f"{failed} of 2 checks failed")
