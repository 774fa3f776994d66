"""How ids, features and states are checked and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serving.state import QueryState


def checked(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features as JSON gives them back. Raises: ValueError."""
    try:
        return json.loads(json.dumps(dict(features), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"features: found {features!r}, expected JSON values: {error}") from None


def encoded(state: QueryState) -> str:
    """A state as JSON: its features, history and times."""
    return json.dumps((dict(state.features), state.history, state.history_time))


def check_text(name: str, text: str) -> None:
    """Lone surrogates are no text that could be stored. Raises: ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: found {text!r}, which is not UTF-8, expected text that is") from None


def decoded(text: str) -> QueryState:
    """What `encoded` wrote."""
    return QueryState(*json.loads(text))
