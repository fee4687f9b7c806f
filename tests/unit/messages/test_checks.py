"""What is found wrong in one whole message."""

from pathlib import Path

import pytest

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.messages.checks.finding import CHECKS, Finding, Severity, graded
from campaign_pipeline.messages.checks.html import check_html, link_problem
from campaign_pipeline.messages.checks.texts import check_sms, check_subject, check_whatsapp, filled

OUT = "https://mail.example/u/token"
GOOD = f'<!doctype html>\n<html><body><p>Hi</p><img src="a" alt=""><a href="{OUT}">out</a></body></html>'


def found(text: str) -> list[tuple[str, int]]:
    return [(each.check, each.line) for each in check_html(text, OUT)]


def test_a_good_page_has_no_findings() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "check", "line"),
    [
        ("<p>Hi</p>", "<p>Hi</div>", "broken_html", 2),
        ("<p>Hi</p>", "<p>\n<b>Hi</i></b></p>", "broken_html", 3),
        ("<p>Hi</p>", "<a href='www.example'>x</a>", "bad_link", 2),
        (f'<a href="{OUT}">', '<a href="https://other.example">', "missing_unsubscribe", 0),
        (' alt=""', "", "image_without_alt", 2),
        ("<p>Hi</p>", "<p>" + "\u00e9" * 51_300 + "</p>", "clipped_html", 0),
    ],
)
def test_one_fault_is_one_finding(before: str, after: str, check: str, line: int) -> None:
    assert found(GOOD.replace(before, after)) == [(check, line)]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://example.com/a?b=c#d", None),
        ("http://[::1]:80/", None),
        ("https://m\u00fcnchen.example/", None),
        ("mailto:a@b.example", None),
        ("#top", None),
        ("", "has no address"),
        ("www.example.com", "no https://"),
        ("https://", "names no host"),
        ("https://a.example:port/", "is not an address"),
        ("https://a.example/a b", "has a space in it"),
        ("javascript:alert(1)", "the scheme javascript:"),
        ("tel:", "nothing after tel:"),
    ],
)
def test_links(address: str, problem: str | None) -> None:
    said = link_problem(address)
    assert said is None if problem is None else problem in (said or "")


def test_subjects_and_sms() -> None:
    assert [each.check for each in check_subject("x" * 151)] == ["long_subject"]
    assert list(check_subject("x" * 150)) == []
    assert [each.check for each in check_sms("x" * 161, 1)] == ["too_many_parts", "missing_stop"]
    assert list(check_sms("x" * 140 + " Reply STOP", 1)) == []
    assert [each.check for each in check_sms("unstoppable " * 40, None)] == ["missing_stop"]


def test_whatsapp_variables_are_those_of_the_approved_text() -> None:
    assert list(check_whatsapp({"1": "Ann"}, "Hi {{1}}")) == []
    assert [each.part for each in check_whatsapp({"1": " ", "2": "a    b", "4": "x"}, "{{1}} {{2}} {{3}}")] == [
        "var:1",
        "var:2",
        "var:3",
        "var:4",
    ]
    assert [each.part for each in check_whatsapp({"1": "x" * 1020}, "Hello {{1}}")] == ["preview"]
    assert filled("Hi {{1}}, {{ 2 }}{{3}}", {"1": "Ann", "2": "b"}) == "Hi Ann, b{{3}}"


def test_findings_are_graded_by_setting() -> None:
    findings = [Finding("long_subject", "subject", 0, "x"), Finding("bad_link", "html", 3, "y")]
    assert [(each.check, each.severity) for each in graded(findings, {})] == [
        ("bad_link", Severity.ERROR),
        ("long_subject", Severity.WARNING),
    ]
    assert [each.check for each in graded(findings, {"bad_link": "off", "long_subject": "error"})] == ["long_subject"]
    with pytest.raises(InvalidInput, match="no check 'long_subjects'"):
        graded(findings, {"long_subjects": "off"})
    with pytest.raises(InvalidInput, match="'fatal' is no severity"):
        graded(findings, {"bad_link": "fatal"})


def test_a_finding_says_where_and_for_whom() -> None:
    finding = Finding(
        "bad_link", "html", 3, "a link names no host", variant="a", locale="de", contacts=1200, sample=("c1",)
    )
    assert finding.says() == "a, de, html, line 3: a link names no host (1,200 contacts; first c1)"


def test_real_templates_have_few_faults_and_each_is_named(shared_data: Path) -> None:
    checks = {
        each.check for file in (shared_data / "templates").rglob("*.html") for each in check_html(file.read_text(), OUT)
    }
    assert checks == {"missing_unsubscribe", "image_without_alt", "bad_link"}
    assert checks < set(CHECKS)
