"""TF Serving's REST interface: predict, status and metadata below `/v1/models/`.

Source: `api_rest.md` of TF Serving, and where that is silent its `http_rest_api_handler.cc`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from fastapi import APIRouter, Request, Response

from serving.tfserving.decode import decode
from serving.tfserving.encode import dump, encode
from serving.tfserving.metadata import metadata, status
from serving.tfserving.models import Models, Served
from serving.tfserving.predict import LARGEST, Asked, Refused, find, run, states

# HTTP's word for each of TensorFlow's codes, as `http_server.cc` has them
HTTP = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_VERSIONS = ["/v1/models/{name}", "/v1/models/{name}/versions/{number}", "/v1/models/{name}/labels/{label}"]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

# for OpenAPI only: bodies are read by `decode`, quicker and with TF Serving's errors
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": said, "content": {"application/json": {"schema": _ERROR}}}
    for code, said in {
        400: "The request does not fit.",
        404: "No such version.",
        503: "Nothing answers just now.",
        504: "No answer in time.",
    }.items()
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "signature_name": {"type": "string"},
                        "instances": {"type": "array", "items": {}, "description": "one value or object a row"},
                        "inputs": {"description": "a value, or an object with one for each input"},
                    },
                }
            }
        },
    }
}

_Handler = Callable[..., Awaitable[Response]]


def router(models: Models, seconds: float) -> APIRouter:
    """The paths below `/v1/`, for an application that answers for one model.

    seconds: after which a prediction is given up (504). Where `Served.run` raises RuntimeFailure with UNAVAILABLE the
    answer is 503. Anything below `/v1/` that is none of these paths is a malformed request (400), as in TF Serving.
    """
    routes = APIRouter(tags=["TF Serving"])

    @_answers
    async def predict(request: Request) -> Response:
        served = find(models, _asked(request))
        asked = decode(await request.body(), served.manifest["signatures"])
        outputs = await run(served, asked.signature, asked.inputs, seconds)
        return _json(encode(outputs, asked.rows))

    @_answers
    async def model_status(request: Request) -> Response:
        return _json(dump(status(states(models, _asked(request)))))

    @_answers
    async def model_metadata(request: Request) -> Response:
        served: Served = find(models, _asked(request))
        return _json(dump(metadata(models.name, served.number, served.manifest["signatures"])))

    for path in _VERSIONS:
        said: dict[str, Any] = {"responses": _ERRORS, "response_class": Response}
        parameters = [_parameter(name) for name in ("name", "number", "label") if f"{{{name}}}" in path]
        named = {"parameters": parameters}
        routes.add_api_route(f"{path}:predict", predict, methods=["POST"], openapi_extra={**_BODY, **named}, **said)
        routes.add_api_route(path, model_status, methods=["GET"], openapi_extra=named, **said)
        routes.add_api_route(f"{path}/metadata", model_metadata, methods=["GET"], openapi_extra=named, **said)
    routes.add_api_route("/v1/{rest:path}", _malformed, methods=_METHODS, include_in_schema=False)
    return routes


def _answers(handler: _Handler) -> _Handler:
    """A handler whose refusals become `{"error": ...}`."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return _json(dump({"error": refused.message}), HTTP.get(refused.code, 500))

    return answer


@_answers
async def _malformed(request: Request) -> Response:
    raise _malformed_request(request)


def _asked(request: Request) -> Asked:
    parameters = request.path_params
    number = parameters.get("number")
    if any(":" in value for value in parameters.values()):  # ahead of a verb, and the path had none to name
        raise _malformed_request(request)
    if number is None:
        return Asked(parameters["name"], label=parameters.get("label"))
    if not (number.isascii() and number.isdigit()):
        raise _malformed_request(request)
    if len(number) > len(str(LARGEST)) or int(number) > LARGEST:
        raise Refused("INVALID_ARGUMENT", f"Failed to convert version: {number} to numeric.")
    return Asked(parameters["name"], int(number))


def _malformed_request(request: Request) -> Refused:
    return Refused("INVALID_ARGUMENT", f"Malformed request: {request.method} {request.url.path}")


def _parameter(name: str) -> dict[str, Any]:
    kind = {"type": "integer", "minimum": 0} if name == "number" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": kind}


def _json(body: bytes, code: int = 200) -> Response:
    return Response(body, code, media_type="application/json")
