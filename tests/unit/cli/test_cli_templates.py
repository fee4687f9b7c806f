"""`campaigns templates check | preview | sheet`: what they print, what they write, and their exit codes."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lxml import html as lxml_html

from campaign_pipeline.core.lake import Lake

Campaigns = Callable[..., Any]
FILES = {
    "segments/all.yaml": "segment: all\nwhere: {trait: {field: email, is_set: true}}\n",
    "templates/two.yaml": (
        "template: two\nchannel: email\nsubject: 'Hi {{ contact.first_name }}'\nhtml_file: two.html\n"
        "inputs: {first_name: {example: <Zoe>, default: there}}\n"
        "locales:\n  de: {subject: Hallo, html_file: two.html, text: Hallo}\n"
    ),
    "templates/two.html": (
        "<p>{{ contact.first_name }}</p>\n<script>alert(1)</script>\n"
        '<a href="https://shop.example/">go</a> <a href="{{ unsubscribe_url }}">out</a>\n'
    ),
    "templates/flash.yaml": "template: flash\nchannel: sms\nbody: '{{ contact.code }} \u20ac STOP'\nmax_parts: 1\n",
    "templates/wa.yaml": (
        f"template: wa\nchannel: whatsapp\ncontent_sid: HX{'0' * 32}\npreview: 'Dear {{{{1}}}}!'\n"
        "variables: {'1': '{{ contact.first_name }}'}\n"
    ),
    "campaigns/spring.yaml": (
        "campaign: spring\nchannel: email\nsegment: all\nutm: true\n"
        "variants: [{name: a, weight: 1, template: two}, {name: b, weight: 1, template: two}]\n"
    ),
}


@pytest.fixture
def definitions(home: Path, campaigns: Campaigns) -> Path:
    for name, text in FILES.items():
        file = home / "definitions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert campaigns("init").code == 0
    assert campaigns("apply", home / "definitions").code == 0
    return home / "definitions"


@pytest.fixture
def contacts(home: Path, definitions: Path) -> Lake:
    rows = {"contact_id": ["a" * 24, "b" * 24], "locale": ["de-AT", "en"], "first_name": ["Ann", None]}
    lake = Lake(home / "data" / "lake")
    lake.write(pl.DataFrame({**rows, "code": ["x" * 200, "y"]}), "contact_snapshot")
    return lake


def test_check_tells_errors_by_its_exit_code(campaigns: Campaigns, contacts: Lake) -> None:
    good = campaigns("templates", "check", "two")
    assert (good.code, "1 templates: 0 errors, 0 warnings." in good.out) == (0, True)
    bad = campaigns("templates", "check", "flash", "--contacts", "2", "--json")
    assert bad.code == 1
    (checked,) = bad.json["templates"]
    assert (bad.json["errors"], checked["rendered"], checked["looked_at"]) == (1, 2, 2)
    (finding,) = checked["findings"]
    assert (finding["check"], finding["contacts"], finding["sample"]) == ("too_many_parts", 1, ["a" * 24])
    assert "x" * 200 not in bad.out
    every = campaigns("templates", "check")
    assert every.code == 1
    assert "error   not_rendered: var:1, line 1: contact.first_name is null (1 contacts; first bbb" in every.out
    assert campaigns("templates", "check", "three").code == 3


def test_preview_writes_a_file_a_part_and_language(home: Path, campaigns: Campaigns, definitions: Path) -> None:
    called = campaigns("templates", "preview", "two", "--out", "here", "--json")
    assert called.code == 0
    assert {each["locale"]: sorted(each["files"]) for each in called.json["previews"]} == {
        "en": ["html", "subject", "text"],
        "de": ["html", "subject", "text"],
    }
    assert (home / "here" / "two.en.subject.txt").read_text() == "Hi <Zoe>"
    assert (home / "here" / "two.de.html").read_text().startswith("<p>&lt;Zoe&gt;</p>")
    assert "two.en.text.txt" in campaigns("templates", "preview", "two", "--locale", "en").out
    assert (home / "data" / "previews" / "two.en.text.txt").is_file()
    assert "no texts in 'fr'" in campaigns("templates", "preview", "two", "--locale", "fr").err


def test_preview_of_a_contact_is_in_its_language(home: Path, campaigns: Campaigns, contacts: Lake) -> None:
    called = campaigns("templates", "preview", "two", "--contact", "a" * 24, "--json")
    assert [each["locale"] for each in called.json["previews"]] == ["de"]
    assert "<p>Ann</p>" in (home / "data" / "previews" / "two.de.html").read_text()
    assert campaigns("templates", "preview", "two", "--contact", "b" * 24).code == 0
    assert (home / "data" / "previews" / "two.en.subject.txt").read_text() == "Hi there"
    assert campaigns("templates", "preview", "two", "--contact", "c").code == 3


def test_preview_of_whatsapp_is_the_approved_text_filled_in(home: Path, campaigns: Campaigns, contacts: Lake) -> None:
    assert campaigns("templates", "preview", "wa", "--contact", "a" * 24).code == 0
    assert (home / "data" / "previews" / "wa.en.whatsapp.txt").read_text() == "Dear Ann!"


def test_sheet_is_one_page_without_scripts(home: Path, campaigns: Campaigns, contacts: Lake) -> None:
    called = campaigns("templates", "sheet", "--out", "sheet.html", "--json")
    assert (called.code, called.json["cards"], called.json["problems"]) == (0, 4, [])
    page = (home / "sheet.html").read_text()
    document = lxml_html.document_fromstring(page)
    assert document.findall(".//script") == []
    assert document.xpath("//link | //img | //@src") == []
    frames = document.findall(".//iframe")
    assert [frame.get("sandbox") for frame in frames] == [""] * 4  # wide and narrow, in two languages
    assert frames[0].get("srcdoc") == (home / "definitions/templates/two.html").read_text().replace(
        "{{ contact.first_name }}", "&lt;Zoe&gt;"
    ).replace("{{ unsubscribe_url }}", "http://127.0.0.1:8991/u/example").rstrip("\n")
    assert "1 part, GSM-7, 15 units" in page
    assert "Dear Alex!" in page


def test_sheet_of_a_campaign_with_costs(
    home: Path, campaigns: Campaigns, contacts: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = campaigns("templates", "sheet", "--campaign", "spring", "--out", "sheet.html")
    assert (called.code, "4 messages: sheet.html" in called.out) == (0, True)
    page = (home / "sheet.html").read_text()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["a (two), en", "a (two), de", "b (two), en", "b (two), de"]
    assert "utm_content=b" in unescape(unescape(page))
    (home / "rates.yaml").write_text("currency: EUR\nsms: {default: 0.05, '+44': 10}\n")
    monkeypatch.setenv("CAMPAIGN_SMS_RATES", "rates.yaml")
    assert campaigns("templates", "sheet", "flash", "--out", "sheet.html").code == 0
    assert re.findall(r"<td>(.*?)</td>", (home / "sheet.html").read_text()) == [
        "any other prefix",
        "0.05 EUR",
        "+44",
        "10 EUR",
    ]
    assert campaigns("templates", "sheet", "flash", "--campaign", "spring", "--out", "x.html").code == 2


def test_sheet_names_what_cannot_be_rendered(home: Path, campaigns: Campaigns, definitions: Path) -> None:
    called = campaigns("templates", "sheet", "flash", "--out", "sheet.html")
    assert (called.code, "contact.code is undefined" in called.out) == (1, True)
    assert "contact.code is undefined" in (home / "sheet.html").read_text()


def test_a_test_is_sent_to_loopback_only(campaigns: Campaigns, contacts: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_SENDGRID_BASE_URL", "https://api.sendgrid.com")
    refused = campaigns("templates", "send-test", "two", "--to", "ann@example.com")
    assert (refused.code, "live sending is off" in refused.err) == (4, True)
    monkeypatch.setenv("CAMPAIGN_SENDGRID_BASE_URL", "http://127.0.0.1:9")
    nobody = campaigns("templates", "send-test", "two", "--to", "ann@example.com", "--json")
    assert (nobody.code, nobody.json["kind"], nobody.json["locale"]) == (1, "not_connected", "en")
