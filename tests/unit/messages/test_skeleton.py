"""The cut is exact: skeleton and fragments together are Jinja2's own output, byte for byte."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment

from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.messages.environment import html_environment, text_environment
from campaign_pipeline.messages.skeleton import Skeleton, cut

HTML, TEXT = html_environment(), text_environment()

hostile = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "<b>&amp;\"'</b>",
            "{{ contact.a }}",
            "{% endif %}",
            "-c0ffee00-1-",
            "\x00\r\n\u2028",
            "a" * 32,
            "👩‍👩‍👧 ünï",
            "$&\\1",
        ]
    ),
)
contacts = st.fixed_dictionaries(
    {
        "a": hostile,
        "b": hostile,
        "n": st.integers(-3, 3),
        "items": st.lists(hostile, max_size=3),
        "flag": st.booleans(),
        "none": st.none(),
    }
)

# Text with every kind of white space that whitespace control eats, and none of Jinja2's own delimiters.
texts = st.one_of(
    st.text("ab <>&\n\t\r\u00e9🌸#%-+'\"\\$0", max_size=10).filter(lambda text: "#%" not in text and "%#" not in text),
    st.sampled_from(["", "\n", "<p>", "a\n\n", "  \n  "]),
)
opening, closing = st.sampled_from(["{%", "{%-", "{%+"]), st.sampled_from(["%}", "-%}", "+%}"])
expressions = st.sampled_from(
    [
        "contact.a",
        "contact.b | upper",
        "contact.a | default('x', true)",
        "contact.none | default('there', true)",
        "contact.n * 2",
        "contact.items | length",
        "contact.items | join(', ')",
        "contact.a ~ contact.b",
        "contact.a | replace('a', '<i>')",
        "'%s!' | format(contact.b)",
        "contact.a if contact.flag else 'no'",
        "'const'",
        "'<' | safe",
        "seen.n",
        "contact['b']",
        "contact.a | e",
    ]
)
conditions = st.sampled_from(
    ["contact.flag", "contact.n > 0", "contact.a == contact.b", "contact.none is none", "contact.none", "not contact.a"]
)


def _statement(opened: str, text: str, closed: str) -> str:
    return f"{opened} {text} {closed}"


@st.composite
def printed(draw: Any) -> str:
    start, end = draw(st.sampled_from(["{{", "{{-", "{{+"])), draw(st.sampled_from(["}}", "-}}"]))
    return f"{start} {draw(expressions)} {end}"


def statement(text: str) -> st.SearchStrategy[str]:
    return st.builds(_statement, opening, st.just(text), closing.filter(lambda end: end != "+%}" or "raw" not in text))


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(inner, max_size=4).map("".join)
    return st.one_of(
        conditions.flatmap(
            lambda test: st.tuples(statement(f"if {test}"), parts, statement("else"), parts, statement("endif"))
        ).map("".join),
        st.tuples(statement("for one in contact.items"), parts, st.just("{{ one }}{{ loop.index }}"), parts)
        .flatmap(lambda start: statement("endfor").map(lambda end: "".join((*start, end))))
        .map(str),
        st.tuples(statement("filter upper"), parts, statement("endfilter")).map("".join),
        st.tuples(statement("set kept"), parts, statement("endset"), st.just("{{ kept }}")).map("".join),
        st.tuples(statement("with x = contact.a"), st.just("{{ x }}"), parts, statement("endwith")).map("".join),
        st.tuples(statement("autoescape false"), parts, statement("endautoescape")).map("".join),
        st.tuples(statement("macro m(x)"), st.just("[{{ x }}]"), statement("endmacro"), st.just("{{ m(contact.a) }}"))
        .map("".join)
        .map(str),
    )


leaves = st.one_of(
    texts,
    texts,
    printed(),
    statement("set seen.n = seen.n + 1"),
    statement("set contact_a = contact.a"),
    st.just("{# a comment {{ nothing }} #}"),
    st.just("{#- tight -#}"),
    st.just("{% raw %}{{ raw }}{% endraw %}"),
)
pieces = st.recursive(leaves, blocks, max_leaves=8)
templates = st.lists(pieces, min_size=1, max_size=10).map("".join)
HEAD = "{% set seen = namespace(n=0) %}"


@given(source=templates, contact=contacts, html=st.booleans())
@settings(max_examples=200, deadline=None)
def test_skeleton_and_fragments_are_what_jinja2_renders(source: str, contact: dict[str, Any], html: bool) -> None:
    environment = HTML if html else TEXT
    context = {"contact": contact}
    piece = cut(environment, HEAD + source, "property")
    fragments = piece.fragments(context)
    assert piece.skeleton.assemble(fragments) == environment.from_string(HEAD + source).render(context)
    assert len(fragments) == piece.skeleton.slots
    assert all(piece.skeleton.constants[1:-1]), "two slots are side by side: they should have been one"


@pytest.mark.parametrize(
    ("source", "constants"),
    [
        ("plain", ("plain",)),
        ("", ("",)),
        ("{# only a comment #}", ("",)),
        ("Hi {{ contact.a }}!", ("Hi ", "!")),
        ("{{ contact.a }}{{ contact.b }}", ("", "")),
        ("a{# comment #}b{% set x = 1 %}c{{ x }}", ("abc", "")),
        ("a{% if contact.flag %}b{% else %}c{% endif %}{{ contact.b }}d{{ contact.n }}", ("a", "d", "")),
        ("a{% macro m() %}x{% endmacro %}b{{ m() }}c", ("ab", "c")),
        ("{% raw %}{{ a }}{% endraw %}", ("{{ a }}",)),
        ("line\r\nbreak\n", ("line\nbreak",)),
    ],
)
def test_the_cut_is_where_the_constant_text_is(source: str, constants: tuple[str, ...]) -> None:
    assert cut(TEXT, source, "t").skeleton.constants == constants


def test_a_set_at_the_top_is_seen_by_the_slots_after_it() -> None:
    piece = cut(TEXT, "{% set name = contact.a | upper %}Hi {{ name }}, bye {{ name }}", "t")
    assert piece.fragments({"contact": {"a": "Ann"}}) == ["ANN", "ANN"]


@pytest.mark.parametrize(
    "source",
    [
        "a{% block b %}x{{ contact.a }}{% endblock %}c{{ self.b() }}d",
        "{% macro m() %}<{{ caller() }}>{% endmacro %}a{% call m() %}b{{ contact.a }}{% endcall %}c",
        "a{% for x in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ x.n }},{{ loop(x.c) }}{% endfor %}b",
        "a{% if contact.flag %}{% set x = contact.a %}{% endif %}b{{ x | default('none') }}c",
        "{% set c = cycler('odd', 'even') %}{{ c.next() }} one {{ c.next() }} two {{ c.next() }}",
        "{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b{{ j() }}c",
        "a{% set kept %}b{{ contact.a }}{% endset %}c{{ kept }}d{{ kept | upper }}",
        "{% autoescape true %}a{{ contact.a }}{% endautoescape %}b{{ contact.a }}",
        "{%- if true -%}  a  {%- endif -%}  b  {{- contact.a -}}  c",
    ],
)
@pytest.mark.parametrize("environment", [HTML, TEXT])
def test_state_and_odd_statements_survive_the_cut(environment: Environment, source: str) -> None:
    context = {"contact": {"a": "<&>", "flag": True}}
    piece = cut(environment, source, "t")
    assert piece.skeleton.slots > 0
    assert piece.skeleton.assemble(piece.fragments(context)) == environment.from_string(source).render(context)


def test_a_contact_named_like_the_separator_or_a_tag_does_no_harm() -> None:
    piece = cut(TEXT, "Hi {{ contact.a }}, bye {{ contact.b }}.", "t")
    for name in ("-0-", "{{ contact.b }}", "0" * 32, "%%tag%%", "-3f2a-s0-", "\x00"):
        assert piece.fragments({"contact": {"a": name, "b": name}}) == [name, name]


def test_the_separator_is_new_in_every_cut_and_never_in_the_output() -> None:
    first, second = (cut(TEXT, "{{ a }}-{{ b }}", "t") for _ in range(2))
    assert first._separator != second._separator
    assert len(first._separator) == 32
    assert first.fragments({"a": 1, "b": 2}) == second.fragments({"a": 1, "b": 2}) == ["1", "2"]


def test_a_contact_that_knew_the_separator_would_be_noticed_and_not_sent() -> None:
    piece = cut(TEXT, "{{ a }}-{{ b }}", "t")
    with pytest.raises(Inconsistent, match="3 fragments for 2 slots"):
        piece.fragments({"a": piece._separator, "b": ""})


def test_a_template_that_extends_another_is_one_fragment() -> None:
    environment = Environment(loader=DictLoader({"base": "<{% block b %}{% endblock %}>"}))
    piece = cut(environment, "{% extends 'base' %}ignored{% block b %}{{ a }}{% endblock %}", "t")
    assert piece.skeleton.constants == ("", "")
    assert piece.fragments({"a": "x"}) == ["<x>"]


def test_an_included_template_is_part_of_its_slot() -> None:
    environment = Environment(loader=DictLoader({"foot": "bye {{ a }}"}))
    piece = cut(environment, "Hi {% include 'foot' %}.", "t")
    assert (piece.skeleton.constants, piece.fragments({"a": "x"})) == (("Hi ", "."), ["bye x"])


def test_fragments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Inconsistent, match="1 fragments do not fit a skeleton with 2 slots"):
        Skeleton(("a", "b", "c")).assemble(["x"])
