"""One call, whatever the protocol: which version is meant, which signature, and errors in TF Serving's words.

Words and codes are those of TF Serving's sources (`aspired_versions_manager.cc`, `get_model_status_impl.cc`,
`predict_util.cc`): clients compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.runtime import RuntimeFailure
from serving.tfserving.models import Models, NotServed, Served, VersionState
from serving.worker.process import DeadlinePassed, WorkerGone

DEFAULT_SIGNATURE = "serving_default"
LARGEST = 2**63 - 1  # of version numbers


class Refused(Exception):
    """There is no answer: `code` is one of TensorFlow's (`INVALID_ARGUMENT`), `message` what TF Serving would say."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


class Asked(NamedTuple):
    """Which version of which model a caller means: a number, a label, or neither for the one that answers now."""

    name: str
    number: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.number is None else f"Specific({self.name}, {self.number})"


def find(models: Models, asked: Asked) -> Served:
    """The version that is meant. Raises: Refused."""
    if asked.name == models.name:
        asked = _without_label(models, asked)
        try:
            return models.find(number=asked.number)
        except NotServed:
            pass
    raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")


def states(models: Models, asked: Asked) -> list[VersionState]:
    """How far every version of the model is, the newest first, or only the one that is meant. Raises: Refused."""
    known = sorted(models.states(), reverse=True) if asked.name == models.name else []
    if not known:
        raise Refused("NOT_FOUND", f"Could not find any versions of model {asked.name}")
    asked = _without_label(models, asked)
    if asked.number is None:
        return known
    found = [one for one in known if one.number == asked.number]
    if not found:
        raise Refused("NOT_FOUND", f"Could not find version {asked.number} of model {asked.name}")
    return found


async def run(
    served: Served,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    seconds: float,
    outputs: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The answer of a signature that the version has; no `outputs` is all of them. Raises: Refused."""
    only: dict[str, Any] = {"outputs": list(outputs)} if outputs else {}
    try:
        return await served.run(signature, inputs, seconds, **only)
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from error
    except RuntimeFailure as error:
        raise Refused(error.code, error.message) from error
    except WorkerGone as error:
        raise Refused("UNAVAILABLE", str(error)) from error
    except DeadlinePassed as error:
        raise Refused("DEADLINE_EXCEEDED", str(error)) from error


def only_outputs(asked: Iterable[str], table: Mapping[str, Any]) -> list[str]:
    """Names of outputs that a caller wants, each of which the signature has once. Raises: Refused."""
    names: list[str] = []
    for name in asked:
        if name not in table["outputs"]:
            known = ",".join(sorted(table["outputs"]))
            found = f"output tensor alias not found in signature: {name}"
            raise Refused("INVALID_ARGUMENT", f"{found} Outputs expected to be in the set {{{known}}}.")
        if name in names:
            raise Refused("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")
        names.append(name)
    return names


def _without_label(models: Models, asked: Asked) -> Asked:
    """The same version by its number. Raises: Refused where no version bears the label."""
    if asked.label is None:
        return asked
    if asked.label not in models.labels:
        raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {asked.label}")
    return Asked(asked.name, models.labels[asked.label])
