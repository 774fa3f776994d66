"""The requests of `make bench-serving`: users with a whole history ask for a list of 20."""

from __future__ import annotations

import json

from tests.bench.untrained import END

USERS, K = 200, 20


def bodies() -> list[str]:
    """Bodies of `POST /recommend`."""
    return [json.dumps({"user": f"u{user}", "k": K, "time": END}) for user in range(USERS)]
