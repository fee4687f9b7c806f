"""`templates explain`, as somebody calls it."""

from collections.abc import Callable
from typing import Any

import pytest

from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR

Campaigns = Callable[..., Any]


@pytest.fixture
def applied(campaigns: Campaigns) -> Campaigns:
    assert campaigns("init").code == 0
    assert campaigns("apply", SAMPLE_DEFINITIONS_DIR).code == 0
    return campaigns


def test_it_is_told_how_each_place_of_a_template_is_rendered(applied: Campaigns) -> None:
    told = applied("templates", "explain", "spring_plain", "--json").json
    assert told["template"] == "spring_plain"
    slots = told["slots"]
    assert {slot["part"] for slot in slots} == {"subject", "html", "text"}
    assert {slot["how"] for slot in slots} == {"constant", "native", "distinct"}
    first = slots[0]
    assert (first["part"], first["line"], first["how"]) == ("subject", 1, "distinct")
    assert first["why"] == "Jinja2 renders it once for each value of contact.first_name"
    shown = applied("templates", "explain", "spring_plain").out
    assert "{{ unsubscribe_url }}" in shown
    assert "native" in shown


def test_a_template_that_is_not_there_is_answered_with_those_there_are(applied: Campaigns) -> None:
    answer = applied("templates", "explain", "sprung")
    assert answer.code != 0
    assert "spring_plain" in answer.err
