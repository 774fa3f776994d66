"""The config of experiments: their arms, and what the server does for each; `[[experiments]]` of a server's TOML.

    [[experiments]]
    name = "towers-1"
    arms = { control = 0.5, treatment = { share = 0.5, label = "canary" } }

A bare number is a share. What the shares leave is not in the experiment.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from configs.units import Section, Share

_ROUNDING = 1e-9  # shares such as .1 ten times may add up to a little more than 1


class Arm(Section):
    """One of an experiment's ways to answer. What is not set is as for queries outside of it.

    share: of all queries; label: of the model version that answers, such as "stable" or "canary", and "stable" where
    another arm of the experiment names one; policy: popularity
    answers without the model; relevance: in place of `rerank.relevance`.
    """

    share: Share
    label: str | None = Field(default=None, min_length=1)
    policy: Literal["model", "popularity"] = "model"
    relevance: Share | None = None

    @model_validator(mode="after")
    def _nothing_idle(self) -> Arm:
        idle = [name for name in ("label", "relevance") if getattr(self, name) is not None]
        if self.policy == "popularity" and idle:
            raise ValueError(f'{idle[0]} does nothing where policy = "popularity"; leave one of them out')
        return self


def _share_alone(arm: Any) -> Any:
    """A bare number as an arm of that share."""
    return {"share": arm} if isinstance(arm, (int, float)) and not isinstance(arm, bool) else arm


_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Experiment(Section):
    """Arms among which queries are dealt by a hash of salt and query id (`serving.assignment`).

    salt: the name, unless given. Another salt deals anew: take one after an experiment that may have left traces in
    its users. The order of the arms does not matter.
    """

    name: _Name
    salt: str = Field(min_length=1, pattern=r"^[^\x00]*$")
    arms: dict[_Name, Annotated[Arm, BeforeValidator(_share_alone)]] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _salted(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" in values:
            return {"salt": values["name"], **values}
        return values

    @model_validator(mode="after")
    def _shares_fit(self) -> Experiment:
        total = sum(arm.share for arm in self.arms.values())
        if total > 1 + _ROUNDING:
            raise ValueError(f"arms: the shares add up to {total:g}, expected at most 1")
        return self


def _apart(experiments: tuple[Experiment, ...]) -> tuple[Experiment, ...]:
    for key in ("name", "salt"):
        values = [getattr(one, key) for one in experiments]
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            why = "" if key == "name" else ": who is in an arm of one would be in the same arm of the other"
            raise ValueError(f"the {key} {twice[0]!r} is used {values.count(twice[0])} times{why}")
    return experiments


Experiments = Annotated[tuple[Experiment, ...], AfterValidator(_apart)]
