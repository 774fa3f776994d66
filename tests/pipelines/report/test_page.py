from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.compared import Against
from pipelines.look.template import with_code
from pipelines.report import summarise
from pipelines.report.page import page
from tests.pipelines.report.runs import HOSTILE

_VOID = {"meta", "link", "br", "img", "hr", "input"}


class _Reader(HTMLParser):
    """Checks that tags nest and collects tags, ids, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.text = [], [], [], [], ""
        self.figures = []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if dict(attributes).get("class") == "plot":
            self.figures.append(dict(attributes).get("aria-label"))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


@pytest.fixture(scope="module")
def html(won) -> str:
    return page(summarise(*won))


@pytest.fixture(scope="module")
def read(html) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def test_tags_nest_and_ids_are_unique(read) -> None:
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    targets = {value[1:] for _, name, value in read.attributes if name == "href" and value.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", " ".join(value or "" for _, _, value in read.attributes)))
    assert targets <= set(read.ids)


def test_nothing_is_loaded_from_elsewhere(html) -> None:
    assert not re.search(r"(https?:)?//[a-z]", html)
    assert "@import" not in html


def test_names_from_data_are_text(html, read) -> None:
    assert "script" not in read.tags
    assert HOSTILE in read.text
    assert "<script" not in html


def test_every_figure_is_there_named_and_follows_the_page(html, read) -> None:
    # two standings; history, newcomers, the hostile one; decile; towers by history, decile; funnel, ceilings; a gate;
    # two models' scores; curves; the searcher
    assert len([label for label in read.figures if label]) == read.tags.count("svg") == 15
    assert "prefers-color-scheme: dark" in html
    assert "#0102" not in html


def test_the_page_forbids_what_it_does_not_need(read) -> None:
    content = [value for tag, name, value in read.attributes if (tag, name) == ("meta", "content")]
    policy = next(value for value in content if "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_tables_have_headers(read) -> None:
    scopes = [value for tag, name, value in read.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == read.tags.count("th")
    assert {"row", "col", "rowgroup"} == set(scopes)


def test_sampled_metrics_have_a_table_of_their_own(won, read) -> None:
    summary = summarise(*won)
    label = "Sampled: to repeat a published table, not to decide"
    assert label in read.text
    assert f"{HOSTILE} (sampled)" in read.text
    assert label not in page(replace(summary, evaluated=replace(summary.evaluated, sampled=None)))


def test_a_slice_worse_than_popularity_alone_is_red_and_names_it(won) -> None:
    summary = summarise(*won)
    slices = summary.evaluated.slices
    row = next(one for one in slices.rows if one.slice == "history 10-49")
    loss = Against("popularity 7d", 0.2, Interval(-0.09, -0.1, -0.08, 400), "worse")
    rows = tuple(replace(one, popularity=loss) if one is row else one for one in slices.rows)
    evaluated = replace(summary.evaluated, slices=replace(slices, rows=rows))
    html = page(replace(summary, evaluated=evaluated))
    assert '-0.090 [-0.100, -0.080]</td><td class="bad">✗ worse' in html
    assert "-0.090 [-0.100, -0.080]" not in page(summary)


def test_every_baseline_is_met_in_pairs(html) -> None:
    table = html[html.index("Towers: mean difference to each baseline") :]
    row = table[table.index("item-kNN") :]
    # NDCG@2 0.5 - 0.1, recall@5 0.55 - 0.5
    assert [row[: row.index("</tr>")].count(text) for text in ("+0.400<br>", "+0.050<br>", 'class="good"')] == [1, 1, 2]


def test_a_replay_is_advised_only_where_it_can_run(won) -> None:
    summary = summarise(*won)
    config = {**summary.config, "split": {**summary.config["split"], "protocol": "random"}}
    assert "twinspire rolling" in page(summary)
    assert "twinspire rolling" not in page(replace(summary, config=config))


def test_the_summary_comes_first_and_leads_to_every_section(read) -> None:
    sections = [one for one in read.ids if "-" not in one]
    assert sections[:3] == ["summary", "decision", "leaderboard"]
    links = [value[1:] for tag, name, value in read.attributes if (tag, name) == ("a", "href") and value[0] == "#"]
    assert set(links) == set(sections) - {"summary"}


def test_same_summary_same_page(won, html) -> None:
    assert page(summarise(*won)) == html


def test_config_name_and_run_are_escaped(won) -> None:
    summary = replace(summarise(*won), name="<b>", run="`<i>`")
    assert "<b>" not in page(summary)
    assert "<i>" not in page(summary)


def test_code_in_backticks() -> None:
    assert with_code("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"
