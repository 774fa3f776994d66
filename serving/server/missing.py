"""Why no version answers, in words, and what to do about it."""

from __future__ import annotations

from serving.server.versions import Versions


def missing(versions: Versions, poll: float) -> str:
    """What a person is told where nobody answers; poll: seconds between two looks for versions."""
    name, away, wrong = versions.name, versions.away, versions.rollout_error
    said = {
        "withdrawn": f"every version of {name} was withdrawn",
        "rollout": f"no version of {name} is served, as any may have been withdrawn",
    }.get(away, f"no version of {name} is loaded yet")
    said += f"; {wrong}" if wrong else ""
    for state in versions.states():
        said += f"; {state.number} is being loaded" if state.state == "LOADING" else ""
        said += f"; {state.number} was refused: {state.message}" if state.code != "OK" else ""
    often = f"this server looks every {poll:g} s"
    if away == "rollout":
        return f"{said}; mend that file: {often}"
    one = "another one" if away == "withdrawn" else "one"
    return f"{said}; `twinspire publish` puts {one} into {versions.model}, where {often}"
