"""A server that is running, asked through TF Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest)."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pipelines.check_server.findings import Finding, Outcome, PreflightError, outdated, unregistered
from pipelines.check_server.needs import Needs

_PATH = re.compile(r"(?P<root>.*?)/*(/v1(/models(/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+))?)?)?)?/*")
_LARGEST = 1 << 24  # bytes of an answer
_PATIENCE = 10.0  # seconds, for each wait on the network


@dataclass(frozen=True)
class Model:
    """A model on a server: the address of its status, its name there, and a version if one was named."""

    url: str
    name: str
    version: int | None


@dataclass(frozen=True)
class State:
    """How a version of a model stands on a server; error is empty where it says OK."""

    version: int
    state: str
    error: str


def check_url(url: str, needs: Needs, timeout: float = _PATIENCE) -> Outcome:
    """What a running server tells of the model. `timeout`: seconds for each wait. Raises: PreflightError."""
    model = addressed(url, needs)
    states = _states(model, _get(model.url, timeout))
    wanted = model.version
    state = states.get(max(states) if wanted is None else wanted)
    unseen = [
        Finding("TensorFlow", "cannot tell", "the REST API does not say its version"),
        *([Finding("CPU", "cannot tell", "the REST API does not say its features")] if needs.scann else []),
    ]
    if state is None:
        there = ", ".join(f"{one.version} {one.state}" for one in states.values())
        detail = f"{model.name} has no version {wanted} there, only {there}; what is not loaded tells nothing"
        why = f"{url} cannot tell: {model.name} has no version {wanted} there"
        found = Finding("model", "cannot tell", detail)
        return Outcome([found, *unseen], None, why, retry=f"let the server load {needs.folder}, then ask again")
    if state.error:
        return _refused(url, needs, state, unseen)
    said = f"version {state.version} of {model.name} is {state.state}"
    if state.state != "AVAILABLE":
        found = Finding("model", "cannot tell", said)
        retry = "ask again when it is AVAILABLE" if state.state in ("START", "LOADING") else "let the server load it"
        return Outcome([found, *unseen], None, f"{url} cannot tell: {said}", retry=retry)
    signatures = _signatures(model, state, needs, timeout)
    findings = [Finding("model", "ok", said), signatures, *unseen]
    if signatures.status == "missing":
        why = f"{url} cannot tell: another model than {needs.folder} answers there: {signatures.detail}"
        return Outcome(findings, None, why, retry=f"let the server load {needs.folder}, then ask again")
    return Outcome(findings, True, f"{url} has loaded it")


def addressed(url: str, needs: Needs) -> Model:
    """The model that a URL means: it may end at the server, or name the model and a version. Raises: PreflightError."""
    try:
        parts = urlsplit(url)
        found = _PATH.fullmatch(parts.path)
        if parts.netloc and found and "/v1" not in found["root"]:
            name = unquote(found["name"]) if found["name"] else needs.name
            version = int(found["version"]) if found["version"] else needs.version
            address = f"{parts.scheme}://{parts.netloc}{found['root']}/v1/models/{quote(name, safe='')}"
            return Model(address, name, version)
    except ValueError:  # a bracket that is not closed, a name that is not UTF-8, a number of 5,000 digits
        pass
    expected = "http://HOST:PORT, or http://HOST:PORT/v1/models/NAME"
    raise PreflightError(f"check-server: found {url!r}, expected {expected}")


def _refused(url: str, needs: Needs, state: State, unseen: list[Finding]) -> Outcome:
    """A version that failed to load: the server's own words, and what they mean."""
    lacks = unregistered(state.error)
    found = [Finding("model", "missing", f"version {state.version} is {state.state}: {state.error}")]
    if lacks:
        owner = "ScaNN's" if lacks <= needs.scann else "an"
        why = f"{url} cannot load it: it lacks {owner} operation {', '.join(lacks)}"
        found.append(Finding("operations", "missing", f"{', '.join(lacks)}; the loader stops at the first"))
        return Outcome([*found, *unseen], False, why, lacks)
    if outdated(state.error):
        why = f"{url} cannot load it: its TensorFlow is older than {needs.tensorflow}, which wrote the export"
        return Outcome([*found, *unseen], False, why, retry=f"use a server of TensorFlow {needs.tensorflow} or later")
    why = f"{url} cannot load it: {state.error}"
    return Outcome([*found, *unseen], False, why, retry="mend what the server says, then ask again")


def _states(model: Model, answer: Any) -> dict[int, State]:
    """The versions that a server lists. Raises: PreflightError."""
    try:
        states = {}
        for one in answer["model_version_status"]:
            status = one.get("status", {})
            code, message = status.get("error_code", "OK"), status.get("error_message", "")
            error = "" if code in ("OK", 0) else f"{code}: {' '.join(message.split())}"
            states[int(one["version"])] = State(int(one["version"]), one["state"], error)
    except (LookupError, TypeError, ValueError, AttributeError):
        states = {}
    if not states:
        raise PreflightError(f"check-server: {model.url} answered {_short(answer)}, expected model_version_status")
    return dict(sorted(states.items()))


def _signatures(model: Model, state: State, needs: Needs, timeout: float) -> Finding:
    """Whether what is loaded takes the inputs that the bundle takes."""
    try:
        answer = _get(f"{model.url}/versions/{state.version}/metadata", timeout)
        tables = answer["metadata"]["signature_def"]["signature_def"]
        found = {name: set(table["inputs"]) for name, table in tables.items()}
    except (PreflightError, LookupError, TypeError, AttributeError) as error:
        return Finding("signatures", "cannot tell", f"the server does not show them: {error}")
    for name, inputs in needs.inputs.items():
        if name not in found:
            return Finding("signatures", "missing", f"it has no {name!r}, but {', '.join(sorted(found))}")
        if found[name] != inputs:
            other = ", ".join(sorted(found[name] ^ inputs))
            return Finding("signatures", "missing", f"the inputs of {name!r} differ in {other}")
    return Finding("signatures", "ok", f"all {len(needs.inputs)} are those of the bundle")


def _get(url: str, timeout: float) -> Any:
    """The JSON at a URL. Raises: PreflightError."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            text = response.read(_LARGEST)
    except urllib.error.HTTPError as error:
        said = _error(error)
        raise PreflightError(f"check-server: {url} answered {error.code}: {said or error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise PreflightError(
            f"check-server: {url} does not answer ({reason}); expected the REST API of a server, which TF Serving has "
            "on the port --rest_api_port (8501 by custom; 8500 speaks gRPC)"
        ) from None
    try:
        return json.loads(text)
    except ValueError:
        raise PreflightError(f"check-server: {url} answered {_short(text)}, expected JSON") from None


def _error(answer: urllib.error.HTTPError) -> str:
    """What an error's body says, as TF Serving writes it; empty where it is something else, or does not come."""
    try:
        return " ".join(str(json.loads(answer.read(_LARGEST))["error"]).split())
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return ""


def _short(found: Any) -> str:
    text = found.decode(errors="replace") if isinstance(found, bytes) else json.dumps(found)
    return repr(text[:60] + "..." if len(text) > 60 else text)
