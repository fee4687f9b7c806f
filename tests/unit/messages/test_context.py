"""Segments, contact tables and coupons in templates: found, made, and the same in both ways to render."""

import os
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.compiled import Problem, RenderingError, compile_template
from campaign_pipeline.messages.context import Needs, contact_fields, context_columns, example_context, needs
from campaign_pipeline.messages.definition import Template, source_problems, unknown_variables
from campaign_pipeline.messages.environment import RECORDS, Record
from campaign_pipeline.messages.preview import preview_with_example
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.vectorised.program import Program

CASES = int(os.environ.get("RENDER_CASES", "300"))


def email(html: str, **others: Any) -> Template:
    fields = {"template": "t", "channel": Channel.EMAIL, "subject": "s", "html": html, "text": "t"}
    return Template.model_validate(fields | others)


def test_what_templates_use_is_found_in_all_parts_and_languages() -> None:
    german = {"subject": "{{ coupons.spring }}", "html": "{{ segments['gold-abroad'] }}", "text": "t"}
    first = email("{% if segments.vip %}{{ coupons.spring }}{% endif %}", locales={"de": german})
    second = email("{% for item in tables.recs %}{{ item.title }}{{ item.segments }}{% endfor %}{{ contact.vip }}")
    assert needs([first, second]) == Needs(("gold-abroad", "vip"), ("recs",), ("spring",))
    assert not needs([email("{{ contact.first_name }}{% set tables = {'a': 1} %}{{ tables.a }}")])


def test_what_does_not_exist_is_told_with_the_nearest() -> None:
    template = email("{{ segments.vpi }}\n{{ tables.recs }}{{ coupons.sprnig }}{{ contact.x }}")
    known = {"segments": ["vip"], "tables": ["recs"], "coupons": ["spring"]}
    assert [str(each) for each in unknown_variables(template, None, known)] == [
        "html, line 1: segments.vpi does not exist; did you mean segments.vip?",
        "html, line 2: coupons.sprnig does not exist; did you mean coupons.spring?",
    ]
    assert unknown_variables(template, None) == []


@pytest.mark.parametrize(
    ("source", "record"),
    [
        ("{{ segments[contact.x] }}", "segments"),
        ("{% for each in tables %}{% endfor %}", "tables"),
        ("{{ coupons }}", "coupons"),
        ("{% set all = tables %}", "tables"),
    ],
)
def test_what_is_meant_must_be_named(source: str, record: str) -> None:
    problem = f"{record} is used without a name: write {record}.name"
    assert list(source_problems("html", f"<p>\n{source}")) == [(2, problem)]


def test_the_columns_have_a_row_for_each_contact() -> None:
    frame = context_columns(
        pl.Series("contact_id", ["a", "b", "c"]),
        {"vip": pl.Series(["z", "b"])},
        {"recs": pl.DataFrame({"contact_id": ["c", "z"], "items": [[{"n": 1}, {"n": 2}], [{"n": 3}]]})},
        {"spring": pl.DataFrame({"contact_id": ["a", "c"], "code": ["X", "Y"]})},
    )
    assert frame.rows(named=True) == [
        {"contact_id": "a", "segments": {"vip": False}, "tables": {"recs": []}, "coupons": {"spring": "X"}},
        {"contact_id": "b", "segments": {"vip": True}, "tables": {"recs": []}, "coupons": {"spring": None}},
        {
            "contact_id": "c",
            "segments": {"vip": False},
            "tables": {"recs": [{"n": 1}, {"n": 2}]},
            "coupons": {"spring": "Y"},
        },
    ]
    nobody = pl.DataFrame(schema={"contact_id": pl.String, "items": pl.List(pl.Struct({"n": pl.Int64}))})
    empty = context_columns(pl.Series("contact_id", ["a"]), {}, {"recs": nobody}, {})
    assert empty.rows() == [("a", {"recs": []})]


def test_a_preview_has_examples_of_all() -> None:
    kind = pl.Struct({"title": pl.String(), "price": pl.Float64(), "rank": pl.Int64(), "new": pl.Boolean()})
    needed = Needs(("vip",), ("recs", "others"), ("spring",))
    context = example_context(needed, {"recs": kind})
    assert context["segments"] == {"vip": True}
    assert context["coupons"] == {"spring": "EXAMPLE-CODE"}
    assert context["tables"]["others"] == []
    assert context["tables"]["recs"][1] == {"title": "title 2", "price": 19.5, "rank": 2, "new": True}
    source = (
        "{% if segments.vip %}{{ coupons.spring }}{% endif %}{% for each in tables.recs %} {{ each.rank }}{% endfor %}"
    )
    stored = StoredTemplate(email(source), 1, "")
    shown = preview_with_example({"a": stored}, {}, campaign="c", public_url="http://h", items={"recs": kind})
    assert shown["a"]["html"] == "EXAMPLE-CODE 1 2 3"


ITEM = pl.Struct({"title": pl.String(), "price": pl.Float64(), "items": pl.Int64()})
WORDS = ["", " ", "Ann", "<b>&\"'", "a\r\nb", "\u2028x", "None"]
rows = st.fixed_dictionaries(
    {
        "contact": st.fixed_dictionaries({"name": st.none() | st.sampled_from(WORDS)}),
        "segments": st.fixed_dictionaries({"vip": st.booleans(), "gold-abroad": st.booleans()}),
        "tables": st.fixed_dictionaries(
            {
                "recs": st.lists(
                    st.fixed_dictionaries(
                        {
                            "title": st.none() | st.sampled_from(WORDS),
                            "price": st.none() | st.sampled_from([0.0, 1.5, 19.9, 1e16]),
                            "items": st.none() | st.integers(0, 9),
                        }
                    ),
                    max_size=3,
                )
            }
        ),
        "coupons": st.fixed_dictionaries({"spring": st.none() | st.sampled_from(["A-1", "<B>", "ü x"])}),
    }
)
PIECES = [
    " text ",
    "{{ coupons.spring }}",
    "{{ coupons['spring'] | default('none', true) }}",
    "{% if coupons.spring == 'A-1' %}first{% endif %}",
    "{{ coupons.spring | lower | trim }}",
    "{% if segments.vip %}vip {{ contact.name | default('x', true) }}{% else %}no{% endif %}",
    "{% if segments['gold-abroad'] and not segments.vip %}{{ coupons.spring }}{% endif %}",
    "{{ segments.vip }}",
    "{{ 'a' if segments.vip else coupons.spring }}",
    "{% for item in tables.recs %}{{ loop.index }} {{ item.title }} {{ item.price }},{% else %}none{% endfor %}",
    "{% for item in tables.recs %}{% if segments.vip %}{{ item.items }}{% endif %}{{ coupons.spring }}{% endfor %}",
    "{% for item in tables.recs[:2] %}{{ item.title | default('-', true) }}{% endfor %}",
    "{% if tables.recs %}{{ tables.recs | length }}{{ tables.recs[0].title }}{% endif %}",
    "{% if tables['recs'] | length > 1 %}many{% endif %}",
    "{{ tables.recs | map(attribute='price') | sum }}",
    "{% set code = coupons.spring %}{{ code }}",
    "{{ segments.nobody }}",
    "{% if segments.nobody is defined %}x{% else %}y{% endif %}",
    "{{ coupons.other | default('none') }}",
]


@settings(max_examples=CASES, deadline=None)
@given(st.lists(rows, min_size=1, max_size=12), st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
def test_both_ways_to_render_say_the_same(contacts: list[dict[str, Any]], pieces: list[str]) -> None:
    source = "".join(pieces)
    compiled = compile_template(email(source, subject="s " + source, text=source))
    kinds = {
        "contact": pl.Struct({"name": pl.String()}),
        "segments": pl.Struct({"vip": pl.Boolean(), "gold-abroad": pl.Boolean()}),
        "tables": pl.Struct({"recs": pl.List(ITEM)}),
        "coupons": pl.Struct({"spring": pl.String()}),
    }
    columns = {name: pl.Series([row[name] for row in contacts], dtype=kind) for name, kind in kinds.items()}
    found = Program(compiled, {}).fragments(columns.pop("contact"), columns)
    for number, row in enumerate(contacts):
        context = {name: RECORDS[name](fields) for name, fields in row.items()}
        expected: list[str] | Problem
        try:
            expected = compiled.render(context)
        except RenderingError as error:
            expected = error.problem
        told = found.problems.get(number) or [column[number] for column in found.columns]
        assert told == expected


def test_conditions_loops_and_codes_need_no_row_by_row_rendering() -> None:
    source = (
        "{% if segments.vip %}{{ coupons.spring }}{% endif %}"
        "{% for item in tables.recs %}{{ item.title }}: {{ item.items }}{% endfor %}"
    )
    columns = {
        "segments": pl.Series([{"vip": n % 2 == 0} for n in range(100)]),
        "coupons": pl.Series([{"spring": f"C{n}"} for n in range(100)]),
        "tables": pl.Series([{"recs": [{"title": f"T{n}", "items": n}]} for n in range(100)]),
    }
    contacts = pl.Series([{"name": "x"}] * 100)
    told: list[str] = []
    program = Program(compile_template(email(source)), {})
    found = program.fragments(contacts, columns, lambda _part, _slot, how, _why: told.append(how))
    assert found.by_reference == []
    assert "fallback" not in told
    assert "".join(column[2] for column in found.columns) == "C2T2: 2"


def test_what_is_printed_as_a_whole_is_named() -> None:
    compiled = compile_template(email("{{ contact }}"))
    with pytest.raises(RenderingError) as raised:
        compiled.render({"contact": Record()})
    assert raised.value.problem.problem == "a whole contact is printed, not one of its fields"


@pytest.mark.parametrize(
    ("html", "fields"),
    [
        (
            "{{ contact.first_name }}{% if contact['tier'] == 'gold' %}{{ contact.points | round }}{% endif %}",
            {"first_name", "tier", "points"},
        ),
        ("{% for x in contact.liked %}{{ x.name }}{% endfor %}{{ segments.vip }}", {"liked"}),
        ("<p>h</p>", set()),
        ("{% set who = contact %}{{ who.secret }}", None),
        ("{{ contact[contact.which] }}", None),
        ("{% macro hello(somebody) %}{{ somebody.secret }}{% endmacro %}{{ hello(contact) }}", None),
        ("{% for name in contact %}{{ name }}{% endfor %}", None),
        ("{% with person = contact %}{{ person.secret }}{% endwith %}", None),
        ("{{ contact | attr('secret') }}", None),
    ],
)
def test_the_fields_that_templates_can_read(html: str, fields: set[str] | None) -> None:
    assert contact_fields([email(html)]) == fields
    german = {"subject": "{{ contact.last_name }}", "html": "h", "text": "t"}
    everywhere = contact_fields([email("h"), email(html, locales={"de": german})])
    assert everywhere == (None if fields is None else fields | {"last_name"})
