"""The report: one file that loads nothing, adds up, and says what the figures say."""

import base64
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from lxml import html as lxml_html
from tinyhtml5.parser import HTMLParser as StrictParser

from campaign_pipeline.analytics.charts import COLOURS, days_chart, funnel_chart, png_base64, svg
from campaign_pipeline.analytics.experiment_charts import chance_chart, lift_chart, rates_chart
from campaign_pipeline.analytics.experiments.design import Rules
from campaign_pipeline.analytics.experiments.runs import ab_results
from campaign_pipeline.analytics.metrics import build_audience_summary, build_campaign_days, build_campaign_metrics
from campaign_pipeline.analytics.report import RunReport, charts, write_report

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
START_DAY = datetime(2026, 3, 2, tzinfo=UTC)


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
    assert len(page.all("caption")) == len(page.all("table")) == 4
    figures = page.all("figure")
    assert len(figures) == 5
    assert "emoji: 400 accepted, 400 delivered, 0 opened, 80 clicked" in str(figures[2]["aria-label"])
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
    assert text.count("No test: this run has one variant, or nobody was planned.") == 4  # in the index as well
    assert "hard bounce" in text


def test_charts_become_svg_that_follows_the_page_and_png_on_white(tested_run):
    facts = tested_run({"plain": (40, 3), "emoji": (40, 8)})
    metrics, days = build_campaign_metrics(facts), build_campaign_days(facts)
    results = ab_results(facts, goal="clicked", control="plain")
    for chart in (
        funnel_chart(metrics),
        lift_chart(results),
        chance_chart(results),
        rates_chart(metrics, days, "clicked"),
        days_chart(days),
    ):
        drawing = svg(chart)
        assert drawing.startswith("<svg")
        assert "currentColor" in drawing
        assert base64.b64decode(png_base64(chart)).startswith(b"\x89PNG")


def test_charts_of_nothing_are_empty_and_no_error(run):
    run.freeze([("no_consent", "", None)])
    facts = run.facts()
    metrics, days = build_campaign_metrics(facts), build_campaign_days(facts)
    results = ab_results(facts, goal="clicked", control="a")
    for chart in (
        funnel_chart(metrics),
        lift_chart(results),
        lift_chart(results, proportions=False),
        chance_chart(results),
        rates_chart(metrics, days),
        days_chart(days),
    ):
        assert base64.b64decode(png_base64(chart)).startswith(b"\x89PNG")


# ---- every figure is that of its table ----------------------------------------------------------------------------


def cells(html: str, title: str) -> dict[tuple[str, ...], dict[str, str]]:
    """A table of the page by its heading: first cells of a row (heading, and variant) -> column -> text."""
    document = lxml_html.document_fromstring(html)
    (table,) = document.xpath("//h3[text()=$title]/following-sibling::div[1]/table", title=title)
    head = [th.text_content() for th in table.xpath("./thead/tr/th")]
    rows = [[cell.text_content() for cell in row] for row in table.xpath("./tbody/tr")]
    keys = 2 if "variant" in head else 1
    return {tuple(row[:keys]): dict(zip(head, row, strict=True)) for row in rows}


def drawn(chart: Any) -> list[dict[str, Any]]:
    """The rows of data that a chart's specification holds, over all its layers."""
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


@pytest.fixture
def busy(run, new_event) -> pl.DataFrame:
    """Facts of a run over three days, with people, machines, bounces of two classes, opt-outs and some left out."""
    run.freeze([("planned", "", "a")] * 300 + [("planned", "", "b")] * 300 + [("suppressed", "hard_bounce", None)] * 7)
    run.ledger(["accepted"] * 599 + ["rejected"])
    day = 24 * 60
    for number in range(3):
        at = number * day + 10
        reached = [*range(number * 40, number * 40 + 40), *range(300 + number * 60, 300 + number * 60 + 60)]
        events = [new_event(f"m{index}", "clicked", at) for index in reached[::2]]
        events += [new_event(f"m{index}", "opened", at) for index in reached]
        if not number:
            events += [new_event(f"m{index}", "delivered", 1) for index in range(590)]
            events += [new_event(f"m{index}", "opened", 2, machine=True) for index in range(50)]
            events += [new_event(f"m{index}", "undelivered", 3, reason="hard:550") for index in range(580, 586)]
            events += [new_event(f"m{index}", "undelivered", 3, reason="soft:452") for index in range(586, 590)]
            events += [new_event(f"m{index}", "unsubscribed", 20) for index in (0, 1, 300, 301, 302)]
        run.events(events, f"2026-03-0{2 + number}")
    return run.facts()


@pytest.fixture
def shown(busy) -> RunReport:
    bounced = busy.filter(pl.col("bounced_at").is_not_null())
    counted = bounced.group_by("bounce_class").agg(contacts=pl.len())
    guarded = ab_results(busy, goal="clicked", control="a", rules=Rules(guardrails={"unsubscribed": 0.002}))
    return RunReport(**{**vars(report_of(busy, control="a")), "bounces": counted, "results": guarded})


@pytest.fixture
def html(shown, tmp_path) -> str:
    return write_report(tmp_path / "r.html", [shown], title="Run", generated_at=AT).read_text(encoding="utf-8")


def test_the_page_is_html_without_a_mistake(html):
    parser = StrictParser()
    parser.parse(html)
    assert parser.errors == []


def test_the_charts_draw_the_figures_of_the_tables(shown, html):
    drawings = {chart.caption: chart.drawing for chart in charts(shown)}
    figures, test = cells(html, "Figures"), cells(html, "Test")
    any_time = cells(html, "Test at any time, and by probability")

    funnel = drawn(drawings["How far messages came"])
    assert {row["stage"] for row in funnel} == {"planned", "accepted", "delivered", "opened", "clicked"}
    for row in funnel:
        assert figures[(row["stage"],)][row["variant"]] == f"{row['contacts']:,}"
        assert row["share"] == row["contacts"] / row["planned"]

    rates = drawn(drawings["Rates so far, by the end of each day, of planned contacts"])
    newest = [row for row in rates if row["day"] == "2026-03-04" and row["event"] in ("clicked", "opened")]
    assert len(newest) == 4
    for row in newest:
        name = row["event"] + (" (goal)" if row["event"] == "clicked" else "")
        variant = row["variant"] + (" (control)" if row["variant"] == "a" else "")
        assert test[name, variant]["level"] == f"{row['rate']:.2%}"
        assert figures[(row["event"],)][row["variant"]] == f"{row['contacts']:,}"
    first = {(row["event"], row["variant"]): row["contacts"] for row in rates if row["day"] == "2026-03-02"}
    assert (first["clicked", "a"], first["clicked", "b"]) == (20, 30)

    lifts = [row for row in drawn(drawings["Difference from control"]) if "metric" in row]
    assert {row["interval"] for row in lifts} == {"one look", "any time"}
    for row in lifts:
        name = row["metric"] + (" (goal)" if row["metric"] == "clicked" else "")
        ends = f"{row['low']:+.2f} to {row['high']:+.2f}"
        if row["interval"] == "one look":
            assert test[name, row["variant"]]["difference"] == f"{row['value']:+.2f} ({ends})"
        else:
            assert any_time[name, row["variant"]]["interval, any time"] == ends

    for row in drawn(drawings["Which is the best by clicked"]):
        variant = row["variant"] + (" (control)" if row["variant"] == "a" else "")
        assert any_time["clicked (goal)", variant]["is best"] == row["said"]

    days = drawn(drawings["Events by day"])
    total = sum(row["contacts"] for row in days if row["event"] == "clicked")
    assert total == sum(int(figures["clicked",][variant].replace(",", "")) for variant in "ab")


def test_bounces_machines_and_those_left_out_are_counted(html):
    assert cells(html, "Bounces") == {
        ("hard",): {"class": "hard", "contacts": "6", "share": "1.00%"},
        ("soft",): {"class": "soft", "contacts": "4", "share": "0.67%"},
    }
    assert cells(html, "People and machines")["opens",] == {
        "event": "opens",
        "contacts, people": "300",
        "events, people": "300",
        "contacts, machines": "50",
        "events, machines": "50",
    }
    assert cells(html, "Left out")["suppressed",]["contacts"] == "7"
    assert cells(html, "Guardrails")["unsubscribed", "b"]["state"] == "unclear"
    assert cells(html, "Figures")["failed",] == {"figure": "failed", "a": "0", "b": "1"}


def test_tables_that_a_run_has_in_the_lake_are_shown_and_cut(shown, tmp_path):
    links = pl.DataFrame(
        {
            "url": [f"https://shop.example/{number:02}" for number in range(40)],
            "variant": ["a"] * 40,
            "clickers": range(40),
            "clicks": range(40),
            "click_rate": [0.125] * 40,
        }
    )
    times = pl.DataFrame(
        {"response": ["clicked"], "variant": ["a"], "contacts": [9], "median": [5400.0], "p90": [30.0]}
    )
    lift = {"against": "held_out", "planned": 600, "held_out": 60}
    ends = {"planned_mean": 0.05, "held_out_mean": 0.03, "lift": 0.02, "lift_low": 0.005, "lift_high": 0.035}
    total = {"incremental": 12.0, "incremental_low": 3.0, "incremental_high": 21.0}
    nothing = dict.fromkeys((*ends, *total))
    holdout = pl.DataFrame([{"metric": "converted"} | lift | ends | total, {"metric": "revenue"} | lift | nothing])
    tables = {"link_performance": links, "response_times": times, "holdout_lift": holdout}
    report = RunReport(**{**vars(shown), "tables": tables})
    html = write_report(tmp_path / "r.html", [report], title="Run", generated_at=AT).read_text(encoding="utf-8")
    found = cells(html, "Links")
    assert next(iter(found)) == ("https://shop.example/39", "a")
    assert len(found) == 25
    assert found["https://shop.example/39", "a"]["click rate"] == "12.50%"
    assert "and 15 more, which are in the warehouse" in html
    assert list(cells(html, "What sending brought about").values()) == [
        {
            "metric": "converted",
            "against": "held out",
            "planned": "5.00%",
            "held out": "3.00%",
            "difference": "0.50 to 3.50 points higher",
            "in all": "+12 (+3 to +21)",
        },
        {
            "metric": "revenue",
            "against": "held out",
            **dict.fromkeys(("planned", "held out", "difference", "in all"), "–"),
        },
    ]
    assert cells(html, "How soon")["clicked", "a"]["median"] == "1.5 h"
    assert cells(html, "How soon")["clicked", "a"]["nine of ten within"] == "30 s"


def test_sizes_that_are_off_are_no_picture(tmp_path, tested_run):
    report = report_of(tested_run({"plain": (600, 60), "emoji": (300, 120)}))
    captions = [chart.caption for chart in charts(report)]
    assert "Difference from control" not in captions
    assert not any(caption.startswith("Which is the best") for caption in captions)
    html = write_report(tmp_path / "r.html", [report], title="Run", generated_at=AT).read_text(encoding="utf-8")
    assert "Do not trust these figures" in html
    assert "Test at any time" not in html


def test_many_variants_and_days_stay_within_bounds(tmp_path, run, new_event):
    arms = [f"variant-{number}" for number in range(10)]
    run.freeze([("planned", "", arm) for arm in arms for _ in range(20)])
    run.ledger(["accepted"] * 200)
    for number in range(120):
        at = START_DAY + timedelta(days=number)
        run.events([new_event(f"m{number}", "clicked", number * 24 * 60)], f"{at:%Y-%m-%d}")
    report = report_of(run.facts(), control=arms[0])
    html = write_report(tmp_path / "r.html", [report], title="Run", generated_at=AT).read_text(encoding="utf-8")
    assert len(html.encode()) < 600_000
    days = drawn({chart.caption: chart.drawing for chart in charts(report)}["Events by day"])
    assert len({row["day"] for row in days}) == 60


def test_several_runs_have_an_index_that_says_the_result_of_each(shown, tmp_path):
    other = {"campaign": "old", "run_id": "old--1"}
    path = write_report(tmp_path / "r.html", [shown, shown], title="Recent", generated_at=AT, others=[other])
    html = path.read_text(encoding="utf-8")
    document = lxml_html.document_fromstring(html)
    rows = [[cell.text_content() for cell in row] for row in document.xpath("//article[@class='index']//tbody/tr")]
    assert [row[2:4] for row in rows] == [["600", "580"], ["600", "580"], ["–", "–"]]
    assert rows[1][1] == document.xpath("//article[@id='run-2']/p[contains(@class, 'summary')]")[0].text_content()
    assert rows[1][1].startswith("b beat a: clicked 30.00% against 20.00%")
    assert rows[2][0] == "old"
    targets = document.xpath("//article[@class='index']//a/@href")
    assert all(document.get_element_by_id(target[1:]) is not None for target in targets)
    parser = StrictParser()
    parser.parse(html)
    assert parser.errors == []


def test_a_report_of_no_runs_says_so(tmp_path):
    path = write_report(tmp_path / "r.html", [], title="Recent", generated_at=AT, nothing="No campaign has run.")
    assert "No campaign has run." in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["#ffffff", "#171e27"])
def test_colours_can_be_seen_on_light_and_on_dark(page):
    assert min(contrast(colour, page) for colour in COLOURS) >= 3


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_who_is_reserved_for_later_parts_is_not_told_as_left_out(tmp_path, run):
    run.freeze([("planned", "", "plain")] * 3 + [("reserved", "", None)] * 5 + [("no_consent", "", None)] * 2)
    run.ledger(["accepted"] * 3)
    path = write_report(tmp_path / "report.html", [report_of(run.facts())], title="Spring", generated_at=AT)
    text = " ".join(Page(path.read_text(encoding="utf-8")).text.split())
    assert "5 reserved for later parts · 50.0%" in text
    assert "2 left out · 20.0%" in text
    assert text.count("reserved") == 1
