"""The Jinja environment of all pages: everything from data is escaped, numbers are written one way."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.look import numbers


def environment(*packages: str) -> Environment:
    """Templates of `packages`, which may include each other's and those of `pipelines.look`."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in (*packages, "pipelines.look")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["code"] = with_code
    for name in ("number", "signed", "percent", "signed_percent", "bounds", "change"):
        found.filters[name] = getattr(numbers, name)
    return found


def with_code(text: str) -> Markup:
    """Text whose `parts in backticks` are set as code; everything is escaped."""
    parts = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)
