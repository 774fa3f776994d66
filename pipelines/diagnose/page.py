"""The diagnosis as HTML that needs nothing else: a page of its own, or a part of another."""

from __future__ import annotations

from jinja2 import Environment
from markupsafe import Markup

from configs.version import VERSION
from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings import sections
from pipelines.diagnose.findings.base import metric_name
from pipelines.diagnose.plots import plots
from pipelines.look.template import environment


def page(found: Diagnosis, following: str) -> str:
    """The whole page; `following` is the command to go on with."""
    template = _templates(found).get_template("diagnosis.html")
    return template.render(found=found, sections=sections(found), plots=plots(found), version=VERSION, next=following)


def fragment(found: Diagnosis) -> Markup:
    """The diagnosis for a page that has `pipelines.look`'s style; its headings start at h3."""
    template = _templates(found).get_template("fragment.html")
    return Markup(template.render(found=found, sections=sections(found), plots=plots(found)))


def _templates(found: Diagnosis) -> Environment:
    templates = environment("pipelines.diagnose")
    templates.filters["metric_name"] = metric_name
    templates.filters["moment"] = lambda time: words.moment(time, found.clock)
    return templates
