"""A client of TF Serving's REST interface, which talks to a TF Serving as to twinspire's own server."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from configs.errors import UserError
from serving.tfserving.encode import dump, json_of

_SHOWN = 200  # characters of an answer that is none


class ServerError(UserError):
    """The server did not give what was asked for: one line with its address, and its own words.

    `code` is HTTP's, None where there was no answer.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class Client:
    """One model of one server: `with Client("http://127.0.0.1:8501", "shop", label="canary") as client: ...`.

    version, label: which version is asked, the one that the server chooses where neither is said.
    seconds: to wait for an answer; headers: sent each time, an API key for instance.
    Raises: ServerError where a call has no answer, or an error for one.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        seconds: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if version is not None and label is not None:
            raise UserError(f"client: found version {version} and label {label!r}, expected one of them")
        self._path = f"/v1/models/{quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        if label is not None:
            self._path += f"/labels/{quote(label, safe='')}"
        self._http = httpx.Client(base_url=url, timeout=seconds, headers=headers)

    def predict(self, inputs: Mapping[str, Any], signature: str = "serving_default") -> Any:
        """Ask with columns: an array (or nested list) for each input.

        Returns:
            Nested lists for each output, or those of the only output, without its name. Bytes come back as bytes.
        """
        return self._predict({"inputs": inputs}, signature, "outputs")

    def predict_rows(self, instances: Sequence[Any], signature: str = "serving_default") -> list[Any]:
        """Ask with rows: for each one a value, or a mapping with one for each input; all inputs have as many rows.

        Returns:
            For each row a value, or a mapping with one for each output.
        """
        return self._predict({"instances": instances}, signature, "predictions")

    def status(self) -> list[dict[str, Any]]:
        """How far each version is (of those that are meant): `version`, `state` and `status`, newest first."""
        return self._call("GET", self._path)["model_version_status"]

    def metadata(self) -> dict[str, Any]:
        """The signatures of the version: for each its `inputs`, `outputs` and `method_name`."""
        return self._call("GET", f"{self._path}/metadata")["metadata"]["signature_def"]["signature_def"]

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _predict(self, body: Mapping[str, Any], signature: str, key: str) -> Any:
        sent = dump({"signature_name": signature, **{name: _plain(value) for name, value in body.items()}})
        return _with_bytes(self._call("POST", f"{self._path}:predict", sent)[key])

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        where = f"{self._http.base_url}".rstrip("/") + path
        try:
            headers = {"Content-Type": "application/json"} if body else None
            answer = self._http.request(method, path, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise ServerError(f"{where}: no answer in {self._http.timeout.read:g} s") from error
        except httpx.HTTPError as error:
            raise ServerError(f"{where}: no answer ({error}); is the server running there?") from error
        try:
            said = json.loads(answer.content)
        except ValueError:
            said = None
        if answer.is_success and isinstance(said, dict):
            return said
        told = said["error"] if isinstance(said, dict) and "error" in said else answer.text[:_SHOWN]
        raise ServerError(f"{where}: {answer.status_code}: {told}", answer.status_code)


def _plain(value: Any) -> Any:
    """What JSON can say of arrays and bytes, however deep they stand."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return _plain(value.tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return json_of(np.asarray(value))
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(one) for one in value] if any(isinstance(one, (list, dict)) for one in value) else value
    if not isinstance(value, dict):
        return value
    if value.keys() == {"b64"} and isinstance(value["b64"], str):
        return base64.b64decode(value["b64"])
    return {name: _with_bytes(one) for name, one in value.items()}
