"""Whatever is posted, the answer is one: never a 5xx, and a server that answers the next one."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import small
from tests.serving.tfserving.live import LONG

WHOLE = st.one_of(st.integers(), st.integers(-3, 300), st.sampled_from([2**31 - 1, 2**31, -(2**31), 2**63, 10**400]))
SCALARS = st.one_of(st.none(), st.booleans(), WHOLE, st.floats(), st.text(), st.fixed_dictionaries({"b64": st.text()}))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=12,
)
NAMES = st.sampled_from(["serving_default", "three", "images", "any", "kinds", "picky", "", "x"])
INPUTS = st.sampled_from(["x", "tag", "signal", "sensor", "image", "caption", "flag", "small", "whole"])
TOYS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.one_of(NAMES, SCALARS),
        "inputs": st.one_of(VALUES, st.dictionaries(INPUTS, VALUES)),
        "instances": st.one_of(VALUES, st.lists(st.dictionaries(INPUTS, VALUES))),
    },
)
BODIES = st.one_of(st.binary(), st.text().map(str.encode), TOYS.map(lambda body: json.dumps(body).encode()))
FUZZED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def http():
    with httpx.Client(timeout=2 * LONG) as client:
        yield client


def ask(http, url: str, body: bytes) -> None:
    answer = http.post(url, content=body)
    assert answer.status_code in (200, 400), answer.text
    said = json.loads(answer.content)
    assert isinstance(said, dict)
    assert len(said) == 1
    assert ("error" in said) == (answer.status_code == 400)


@FUZZED
@given(body=BODIES)
def test_any_body(examples, http, body):
    ask(http, f"{examples.url}/v1/models/half_plus_three:predict", body)


@FUZZED
@given(
    changed=st.dictionaries(
        st.sampled_from(["k", "history", "history_time", "time", "likes", "exclude", "filter_stock", "user", "mood"]),
        st.one_of(VALUES, WHOLE.map(lambda one: [one]), st.lists(st.lists(st.text(), max_size=3), max_size=2)),
        max_size=3,
    )
)
def test_a_request_for_a_list_with_other_values(live_bundle, http, changed):
    inputs = {name: np.asarray(value).tolist() for name, value in small.inputs_of([["i20", "i21"]], k=5).items()}
    body = {"signature_name": "recommend", "inputs": {**inputs, **changed}}
    ask(http, f"{live_bundle.url}/v1/models/small:predict", json.dumps(body).encode())


@FUZZED
@given(path=st.text(max_size=30), safe=st.sampled_from(["/:", "/:.%&=", ""]))
def test_any_path(examples, http, path, safe):
    for method in ("GET", "POST"):
        answer = http.request(method, f"{examples.url}/v1/models/{quote(path, safe=safe)}")
        assert answer.status_code < 500, (path, answer.text)
