"""Numbers, money and dates in the language of a template, and the language that a contact reads."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from jinja2 import TemplateRuntimeError

from campaign_pipeline.messages.environment import NullVariable, Record, text_environment
from campaign_pipeline.messages.locales import choose, choose_all

TIME = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("locale", "expression", "value", "text"),
    [
        ("en", "number", 1234567.891, "1,234,567.891"),
        ("de", "number(2)", 1234.5, "1.234,50"),
        ("en", "number(0)", 2.5, "2"),
        ("en", "number", "12.50", "12.5"),
        ("de-AT", "money('EUR')", 1999.9, "€\xa01.999,90"),
        ("en", "money('JPY')", 1999.9, "¥2,000"),
        ("fr", "percent(1)", 0.153, "15,3%"),
        ("de", "date('long')", "2026-03-02", "2. März 2026"),
        ("en", "date", date(2026, 3, 2), "Mar 2, 2026"),
        ("en", "date('short')", TIME, "3/2/26"),
        ("en-GB", "time('short', 'Asia/Kolkata')", TIME, "04:00"),
        ("de", "moment('short', 'Europe/Vienna')", TIME, "02.03.26, 23:30"),
        ("de-XX", "number", 1.5, "1,5"),
    ],
)
def test_a_value_is_written_as_its_language_does(locale: str, expression: str, value: Any, text: str) -> None:
    template = text_environment(locale).from_string("{{ contact.x | " + expression + " }}")
    assert template.render(contact=Record(x=value)) == text


@pytest.mark.parametrize(
    ("expression", "value", "problem"),
    [
        ("number", "many", "a number is formatted that is none"),
        ("number", True, "a number is formatted that is none"),
        ("number", float("nan"), "a number is formatted that is none"),
        ("money('EURO')", 777, "not a code of ISO 4217"),
        ("date", "soon", "a date is formatted that is none"),
        ("date('wide')", TIME, "a width is one of short, medium, long, full"),
        ("time", "2026-03-02", "the time of a date is formatted"),
        ("time('short', 'Mars')", TIME, "a time zone is used that is none"),
    ],
)
def test_what_cannot_be_written_is_an_error_without_the_value(expression: str, value: Any, problem: str) -> None:
    template = text_environment().from_string("{{ contact.x | " + expression + " }}")
    with pytest.raises(TemplateRuntimeError, match=problem) as caught:
        template.render(contact=Record(x=value))
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize("name", ["number", "percent", "money('EUR')", "date", "time", "moment"])
def test_a_null_is_named(name: str) -> None:
    template = text_environment().from_string("{{ contact.x | " + name + " }}")
    with pytest.raises(NullVariable, match=r"contact\.x is null"):
        template.render(contact=Record(x=None))


def test_the_nearest_language_is_chosen() -> None:
    assert choose("de-AT", ["en", "de"], "en") == "de"
    assert choose("DE-at", ["de", "de-AT"], "en") == "de-AT"
    assert choose("zh-Hant-TW", ["zh", "zh-Hant"], "en") == "zh-Hant"
    assert choose("fr", ["en-GB", "de"], "en") == "en"
    assert choose(None, ["de"], "en") == "en"
    tags = pl.Series(["de-AT", None, "fr", "de"])
    assert choose_all(tags, ["en", "de"], "en").to_list() == ["de", "en", "en", "de"]
