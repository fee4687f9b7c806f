"""The report: one file that loads nothing, adds up, and says what the figures say."""

import base64
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import polars as pl
import pytest

from campaign_pipeline.analytics.charts import days_chart, funnel_chart, lift_chart, png_base64, svg
from campaign_pipeline.analytics.experiments.runs import ab_results
from campaign_pipeline.analytics.metrics import build_audience_summary, build_campaign_days, build_campaign_metrics
from campaign_pipeline.analytics.report import RunReport, write_report

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)


def report_of(facts: pl.DataFrame, control: str = "plain", **run: str) -> RunReport:
    return RunReport(
        run={"campaign": "spring", "run_id": "spring--20260302t090000z", "channel": "email", **run},
        audience=build_audience_summary(facts),
        metrics=build_campaign_metrics(facts),
        days=build_campaign_days(facts),
        results=ab_results(facts, goal="clicked", control=control),
    )


class Page(HTMLParser):
    """Tags and text of a page; a tag that is closed out of turn fails."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def written(tmp_path, tested_run) -> str:
    facts = tested_run({"plain": (400, 30), "emoji": (400, 80)})
    path = write_report(tmp_path / "out" / "report.html", [report_of(facts)], title="Spring", generated_at=AT)
    return path.read_text(encoding="utf-8")


def test_the_report_loads_nothing(written):
    page = Page(written)
    assert "http:" not in written
    assert "https:" not in written
    assert not re.search(r"@import|url\((?!#)", written)
    assert page.all("script") == page.all("link") == page.all("img") == []
    assert all(not attributes.get("src") for _, attributes in page.tags)
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in page.tags)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(written) < 200_000


def test_the_report_says_the_result_first_in_plain_words(written):
    text = " ".join(Page(written).text.split())
    assert "emoji beat plain: clicked 20.00% against 7.50%, +12.50 points" in text
    assert text.index("emoji beat plain") < text.index("800 contacts in the segment")


def test_the_report_shows_each_figure(written):
    text = " ".join(Page(written).text.split())
    assert "800 planned messages 800 accepted · 100.0% 0 failed · 0.0%" in text
    assert "clicked 80 30" in text or "clicked 30 80" in text
    assert "clicked (goal) emoji 400 20.00%" in text
    assert "< 0.0001 ship" in text
    assert "emoji: ship, because p = " in text
    assert "As of 2026-03-04 12:00 UTC" in text


def test_tables_and_charts_can_be_read_without_seeing_them(written):
    page = Page(written)
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) == 2
    figures = page.all("figure")
    assert len(figures) == 3
    assert "emoji: 400 accepted, 400 delivered, 0 opened, 80 clicked" in str(figures[0]["aria-label"])
    assert page.all("html") == [{"lang": "en"}]


def test_what_others_wrote_is_shown_as_text(tmp_path, tested_run):
    facts = tested_run({"<script>alert(1)</script>": (20, 5), "b": (20, 5)})
    report = report_of(facts, control="b", state="<img src=x onerror=alert(1)>")
    page = Page(write_report(tmp_path / "r.html", [report], title="<b>", generated_at=AT).read_text())
    assert page.all("script") == page.all("img") == page.all("b") == []
    assert "<script>alert(1)</script>" in page.text


def test_runs_without_a_test_or_without_anybody_are_reported_too(tmp_path, tested_run, run):
    one = report_of(tested_run({"only": (5, 1)}), control="only")
    run.freeze([("no_consent", "", None), ("suppressed", "hard_bounce", None)])
    run.ledger([])
    nobody = report_of(run.facts())
    text = Page(write_report(tmp_path / "r.html", [one, nobody], title="Two", generated_at=AT).read_text()).text
    assert text.count("No test: this run has one variant, or nobody was planned.") == 2
    assert "hard bounce" in text


def test_charts_become_svg_that_follows_the_page_and_png_on_white(tested_run):
    facts = tested_run({"plain": (40, 3), "emoji": (40, 8)})
    for chart in (
        funnel_chart(build_campaign_metrics(facts)),
        lift_chart(ab_results(facts, goal="clicked", control="plain")),
        days_chart(build_campaign_days(facts)),
    ):
        drawing = svg(chart)
        assert drawing.startswith("<svg")
        assert "currentColor" in drawing
        assert base64.b64decode(png_base64(chart)).startswith(b"\x89PNG")


def test_charts_of_nothing_are_empty_and_no_error(run):
    run.freeze([("no_consent", "", None)])
    facts = run.facts()
    for chart in (
        funnel_chart(build_campaign_metrics(facts)),
        lift_chart(ab_results(facts, goal="clicked", control="a")),
        days_chart(build_campaign_days(facts)),
    ):
        assert base64.b64decode(png_base64(chart)).startswith(b"\x89PNG")


def test_who_is_reserved_for_later_parts_is_not_told_as_left_out(tmp_path, run):
    run.freeze([("planned", "", "plain")] * 3 + [("reserved", "", None)] * 5 + [("no_consent", "", None)] * 2)
    run.ledger(["accepted"] * 3)
    path = write_report(tmp_path / "report.html", [report_of(run.facts())], title="Spring", generated_at=AT)
    text = " ".join(Page(path.read_text(encoding="utf-8")).text.split())
    assert "5 reserved for later parts · 50.0%" in text
    assert "2 left out · 20.0%" in text
    assert text.count("reserved") == 1
