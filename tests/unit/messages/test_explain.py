"""What is told of a template's slots: how each is rendered, and why."""

import polars as pl
import pytest

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.vectorised.explain import Explained, explain

FIELDS = {"name": pl.String(), "items": pl.List(pl.Struct({"name": pl.String()})), "tags": pl.List(pl.String())}


def slots(body: str) -> list[Explained]:
    return explain(Template(template="t", channel=Channel.SMS, body=body), FIELDS)


@pytest.mark.parametrize(
    ("source", "how", "why"),
    [
        ("{{ campaign | upper }}", "constant", "reads nothing of the contact"),
        ("{{ unsubscribe_url }}", "native", "unsubscribe_url as it is"),
        ("{{ contact.name | title }}", "distinct", "Jinja2 renders it once for each value of contact.name"),
        ("{% for i in contact['items'] %}{{ i.name }}{% endfor %}", "loop", "one row for each of contact.items"),
        ("{{ contact.tags | sort }}", "fallback", "Jinja2 renders it for each contact: it reads contact.tags"),
        (
            "{% for i in contact['items'] %}{{ loop.cycle(1, 2) }}{% endfor %}",
            "fallback",
            "Jinja2 renders it for each contact: it reads contact.items",
        ),
        ("{% for i in contact['items'] %}{{ i }}{% endfor %}", "fallback", "it reads i"),
    ],
)
def test_how_a_slot_is_rendered(source: str, how: str, why: str) -> None:
    (found,) = slots(f"a\n{source}")
    assert (found.part, found.line, found.source, found.how) == ("body", 2, source, how)
    assert why in found.why


def test_each_slot_is_shown_without_the_white_space_that_jinja2_eats() -> None:
    found = slots("{%- if contact.name -%} a {%- else -%} {{ variant }} {%- endif %}b{# no #}{{ campaign }}\nc{{ 1 }}")
    assert [(each.line, each.source) for each in found] == [
        (1, "{%- if contact.name -%} a{%- else -%} {{ variant }}{%- endif %}"),
        (1, "{{ campaign }}"),
        (2, "{{ 1 }}"),
    ]


def test_a_part_whose_slots_share_state_is_rendered_for_each_contact() -> None:
    found = slots("{% set x = contact.name %}a{{ x }}b{{ contact.name }}")
    assert [each.how for each in found] == ["fallback", "fallback"]
    assert found[0].why == "Jinja2 renders the part for each contact: there is {% set %} on line 1"


def test_fields_that_are_not_known_are_text() -> None:
    (found,) = explain(Template(template="t", channel=Channel.SMS, body="{{ contact.x | upper }}"))
    assert found.how == "distinct"
