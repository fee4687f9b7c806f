"""Rendering a batch by columns gives what rendering each contact gives: the same fragments, the same problems."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.compiled import CompiledTemplate, Problem, RenderingError, compile_template
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.vectorised.program import Program

CASES = int(os.environ.get("RENDER_CASES", "700"))
"""Sources; each is compared under the rules of three parts, over a batch of contacts: three times as many cases."""

HOSTILE = [
    "",
    " ",
    "\u2003",
    "a",
    "Ann",
    "<b>&amp;\"'</b>",
    "{{ contact.a }}",
    "{% endif %}",
    "\x00\r\n\u2028x",
    "\x1c\x1d",
    "a\x85\x1fb",
    "0",
    "12",
    "ǅ ŉ İ ß ﬁ",
    "👩‍👩‍👧 ünï",
    "gold",
    "O'Brien",
    "None",
]
KINDS: dict[str, tuple[pl.DataType, list[Any]]] = {
    "a": (pl.String(), HOSTILE),
    "b": (pl.String(), HOSTILE),
    "tier": (pl.String(), ["gold", "silver", "bronze"]),
    "n": (pl.Int64(), [0, 1, -1, 3, 500, 2**53 + 1, -(2**63), 2**63 - 1]),
    "small": (pl.Int8(), [0, 1, -128]),
    "f": (pl.Float64(), [0.0, -0.0, 1.0, 0.1, 1e16, 1e-5, 1e22, 123456789.123, float("nan"), float("inf"), 2.675]),
    "flag": (pl.Boolean(), [True, False]),
    "day": (pl.Date(), [date(2026, 3, 2), date(1, 1, 1), date(9999, 12, 31)]),
    "at": (
        pl.Datetime("us", "Europe/Berlin"),
        [datetime(2025, 10, 26, hour, 30, tzinfo=UTC) for hour in (0, 1)] + [datetime(2026, 1, 2, 3, 4, 5, 6, UTC)],
    ),
    "money": (pl.Decimal(12, 2), [Decimal("0.00"), Decimal("19.90"), Decimal("-1.05")]),
    "tags": (pl.List(pl.String()), [[], ["x"], ["<a>", "b\n", ""], ["a", None], ["q"] * 4]),
    "items": (
        pl.List(pl.Struct({"name": pl.String(), "price": pl.Float64(), "count": pl.Int64(), "items": pl.Int64()})),
        [
            [],
            [{"name": "<x>", "price": 1.5, "count": 1, "items": 7}],
            [
                {"name": "A'b", "price": -0.0, "count": 0, "items": None},
                {"name": None, "price": None, "count": None, "items": 0},
            ],
            [{"name": name, "price": 2.5, "count": 2, "items": 3} for name in ("a", "b\n", "", "a")],
            [None, {"name": "z", "price": 1e16, "count": -1, "items": 1}],
        ],
    ),
    "nested": (pl.List(pl.List(pl.String())), [[], [[]], [["a", "<b>"], ["c"]], [None, ["d"]]]),
    "place": (
        pl.Struct({"city": pl.String(), "zip": pl.Int64()}),
        [{"city": "Łódź <&>", "zip": 1}, {"city": None, "zip": None}],
    ),
    "nothing": (pl.String(), [None]),
}
SCHEMA = pl.Struct({name: kind for name, (kind, _) in KINDS.items()})

contacts = st.fixed_dictionaries(
    {
        name: st.one_of(st.sampled_from(values), st.sampled_from([*values, None]))
        if name not in ("a", "b")
        else st.one_of(st.sampled_from(values), st.none(), st.text(max_size=6))
        for name, (_, values) in KINDS.items()
    }
)
batches = st.one_of(
    st.lists(contacts, min_size=1, max_size=6),
    st.lists(contacts, min_size=1, max_size=3).map(lambda few: few * 5),  # few distinct values: another path
)

FIELDS = [f"contact.{name}" for name in KINDS] + ["contact['a']", "contact['b']", "contact.a", "contact.n"]
leaves = st.one_of(
    st.sampled_from(FIELDS),
    st.sampled_from(FIELDS),
    st.sampled_from(
        ["campaign", "variant", "unsubscribe_url", "contact.nope", "contact['items']", "contact.place.city"]
    ),
    st.sampled_from(["'<c>'", "'gold'", "''", "0", "1", "3", "1.5", "true", "none", "'a' 'b'", "[1, 2]", "2 ** 70"]),
)
FILTERS = [
    "upper",
    "title",
    "trim",
    "default('x')",
    "default('there', true)",
    "d('<i>', boolean=true)",
    "default(contact.b, true)",
    "default(contact.nope, true)",
    "length",
    "e",
    "safe",
    "int",
    "string",
    "round(1)",
    "first",
    "join(', ')",
    "urlencode",
    "replace('a', '<i>')",
    "truncate(3)",
    "number",
    "money('EUR')",
    "date('long')",
    "moment",
    "map('upper') | join",
    "map(attribute='name') | join('-')",
    "striptags",
    "list",
    "tojson",
]
TESTS = ["none", "defined", "string", "number", "divisibleby(2)", "in ['gold', 'a']", "sameas(true)", "mapping"]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "in", "and", "or"]
CALCULATIONS = ["+", "-", "*", "/", "//", "%"]


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} | {}".format, inner.map(bracketed), st.sampled_from(FILTERS)),
        st.builds("{} ~ {}".format, inner.map(bracketed), inner.map(bracketed)),
        st.builds("{} {} {}".format, inner.map(bracketed), st.sampled_from(OPERATORS), inner.map(bracketed)),
        st.builds("{} {} {}".format, inner.map(bracketed), st.sampled_from(CALCULATIONS), inner.map(bracketed)),
        st.builds("{} if {} else {}".format, inner.map(bracketed), inner.map(bracketed), inner.map(bracketed)),
        st.builds("{} if {}".format, inner.map(bracketed), inner.map(bracketed)),
        st.builds("not {}".format, inner.map(bracketed)),
        st.builds("{} is {}".format, inner.map(bracketed), st.sampled_from(TESTS[:5])),
        st.builds("{} is not {}".format, inner.map(bracketed), st.sampled_from(["none", "defined"])),
        st.builds("'%s/%s' | format({}, {})".format, inner, inner),
        st.builds("{}.strip()".format, inner.map(bracketed)),
        st.builds("{}[0]".format, inner.map(bracketed)),
        st.builds("contact[{}]".format, inner),
    )


def bracketed(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


expressions = st.recursive(leaves, combined, max_leaves=4)
bracketed_expressions = expressions.map(bracketed)
of_items = st.sampled_from(
    [
        "item.name",
        "item['name']",
        "item.price",
        "item.count",
        "item.items",
        "item.nope",
        "item",
        "item.name | upper",
        "item.price * item.count",
        "item.name ~ contact.a",
        "item.name or contact.b",
        "item.name | default('x', true)",
        "'%.2f' | format(item.price)",
        "loop.index",
        "loop.index0 ~ '/' ~ loop.length",
        "loop.revindex",
        "', ' if not loop.last else ''",
        "loop.first",
        "loop.cycle('a', 'b')",
        "loop.previtem",
        "loop",
        "contact.a",
        "variant",
        "item | upper",
        "unsubscribe_url",
    ]
)
texts = st.sampled_from(["", " ", "\n", "x", "<p>", "a & b", "}}"])


def printed(expression: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return expression.map(lambda text: "{{ " + text + " }}")


def block(*pieces: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(piece) if isinstance(piece, str) else piece for piece in pieces)).map("".join)


@st.composite
def loops(draw: Any, inner: st.SearchStrategy[str]) -> str:
    source = draw(
        st.sampled_from(
            [
                *["contact['items']", "contact['items']", "contact.items", "contact.tags", "contact.nested"],
                *["contact['items'][:2]", "contact['items'] | sort(attribute='count')", "range(contact.small or 2)"],
                *["contact.a", "contact.nothing", "[contact.a, contact.b]"],
            ]
        )
    )
    body = draw(
        st.lists(
            st.one_of(
                printed(of_items),
                printed(of_items),
                texts,
                inner,
                block("{% if ", of_items.map(bracketed), " %}", printed(of_items), "{% else %}-{% endif %}"),
                block(
                    "{% if item.count > 1 and not loop.last %}", printed(of_items), "{% elif item.name %}n{% endif %}"
                ),
                st.just("{% set kept = item %}{{ kept }}"),
                block("{% for one in ", of_items.map(bracketed), " %}{{ one }}{{ loop.index }}{% endfor %}"),
                block("{% for item in contact.tags %}", printed(of_items), "{% endfor %}"),
            ),
            max_size=4,
        ).map("".join)
    )
    test = draw(st.sampled_from(["", "", "", "", " if item", " if item.count"]))
    otherwise = draw(st.sampled_from(["", "{% else %}none {{ contact.a }}"]))
    return "{% for item in " + source + test + " %}" + body + otherwise + "{% endfor %}"


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map("".join)
    return st.one_of(
        block("{% if ", bracketed_expressions, " %}", several, "{% endif %}"),
        block(
            "{% if ",
            bracketed_expressions,
            " %}",
            several,
            "{% elif ",
            bracketed_expressions,
            " %}",
            several,
            "{% else %}",
            several,
        )
        .map(lambda text: text + "{% endif %}")
        .map(str),
        loops(inner),
        loops(inner),
        block("{% filter upper %}", several, "{% endfilter %}"),
        block("{% with x = ", expressions, " %}{{ x }}", several, "{% endwith %}"),
        block("{% autoescape false %}", several, "{% endautoescape %}"),
    )


pieces = st.recursive(
    st.one_of(printed(expressions), printed(expressions), texts, st.just("{# no #}")), blocks, max_leaves=4
)
stateful = st.sampled_from(
    [
        "{% set name = contact.a | default('x', true) %}{{ name }} {{ name | upper }}",
        "{% set seen=namespace(n=0) %}{% for x in contact.tags %}{% set seen.n = seen.n + 1 %}{% endfor %}{{ seen.n }}",
        "{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(contact.a) }} {{ m(contact.n) }}",
        "{% if contact.flag %}{% set y = contact.a %}{% endif %}-{{ y | default('none') }}",
        "{% set contact = {'a': 'mine'} %}{{ contact.a }}",
        "{% for contact in contact.tags %}{{ contact }}{% endfor %}",
        "{% block b %}{{ contact.a }}{% endblock %}-{{ self.b() }}",
        "{% set kept %}{{ contact.a }}{% endset %}{{ kept }}|{{ kept }}",
        "{% call(x) m2() %}{{ x }}{% endcall %}",
        "{{ contact }}",
        "{{ contact | length }}",
        "{% for key in contact %}{{ key }}{% endfor %}",
        "{{ contact.keys() | list | length }}",
        "{{ undefined_name }}",
        "{{ range }}",
        "{{ cycler('a', 'b').next() }}",
        "{{ self }}",
    ]
)
# What authors write, so that most of it can be rendered.
TAME = [
    "contact.a | default('there', true)",
    "contact.b or contact.tier or 'x'",
    "contact.a | default('', true) | trim | default('<i>', true)",
    "(contact.a or '') ~ '-' ~ (contact.n or 0)",
    "contact.n | default(0, true)",
    "contact.f | default('none', true)",
    "contact.money | default(0, true)",
    "contact.at.strftime('%d %B %Y %H:%M %Z') if contact.at else '-'",
    "contact.day | default('?', true)",
    "contact.a if contact.flag else contact.b | default('b', true)",
    "'gold' if contact.tier == 'gold' and contact.n else 'other'",
    "unsubscribe_url",
    "campaign | upper",
    "contact.a is none",
    "contact.a == contact.b",
    "(contact.tags or []) | length",
    "(contact.a or 'x') | title",
    "('%.2f' | format(contact.f)) if contact.f is not none else ''",
]
TAME_TESTS = [
    "contact.a",
    "not contact.a",
    "contact.tier == 'gold'",
    "contact.n and contact.n > 1",
    "contact.a != contact.b or contact.flag",
    "contact.n is none or contact.n <= 3",
    "contact.a and contact.b and contact.a < contact.b",
    "contact.f",
    "contact['items']",
    "contact.small == 0",
    "contact.at and not contact.flag",
]
TAME_OF_ITEMS = [
    "item.name or '-'",
    "item.count | default(0, true)",
    "item.price or 'free'",
    "loop.index",
    "item.name == 'a'",
    "'%.1f' | format(item.price or 0)",
    "contact.a or item.name or ''",
    "(item.name or '') ~ loop.index0 ~ '/' ~ loop.length",
]


def tame_block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map("".join)
    test, of_item = st.sampled_from(TAME_TESTS), printed(st.sampled_from(TAME_OF_ITEMS))
    items = st.lists(of_item | inner, min_size=1, max_size=3).map("".join)
    return st.one_of(
        block("{% if ", test, " %}", several, "{% elif ", test, " %}", several, "{% else %}", several, "{% endif %}"),
        block("{% for item in contact['items'] or [] %}", items, "{% endfor %}"),
        block(
            "{% if contact['items'] %}{% for item in contact['items'] %}", items, "{% if not loop.last %}, {% endif %}"
        )
        .map(lambda text: text + "{% else %}none{% endfor %}{% endif %}")
        .map(str),
        block(
            "{% if contact.tags %}{% for item in contact.tags %}{{ item or '' }}", several, "{% endfor %}{% endif %}"
        ),
        block("{% if contact.nested %}{% for list in contact.nested %}{% for item in list or [] %}")
        .map(lambda text: text + "{{ item }}{{ loop.index }},{% endfor %};{% endfor %}{% endif %}")
        .map(str),
    )


tame = st.recursive(printed(st.sampled_from(TAME)) | texts, tame_block, max_leaves=6)
parts = st.one_of(
    st.lists(tame, min_size=1, max_size=5).map("|".join),
    st.lists(tame, min_size=1, max_size=5).map("|".join),
    st.lists(pieces, min_size=1, max_size=4).map("|".join),
    st.tuples(tame, pieces, stateful).map("|".join),
)


def reference(compiled: CompiledTemplate, context: dict[str, Any]) -> list[str] | Problem:
    try:
        return compiled.render(context)
    except RenderingError as error:
        return error.problem


def differences(whole: CompiledTemplate, people: list[dict[str, Any]]) -> list[str]:
    """What is not the same by columns as it is one by one, part by part."""
    contacts = pl.Series("contact", people, dtype=SCHEMA)
    urls = pl.Series([f"https://n.example.com/u/{number}?a=1&b='" for number in range(len(people))])
    constants = {"campaign": "c & c", "variant": "b"}
    found: list[str] = []
    for part in whole.parts:
        compiled = CompiledTemplate((part,), frozenset({"unsubscribe_url"}))
        program = Program(compiled, constants)
        contexts = [
            {"contact": Record(contact), **constants, "unsubscribe_url": url}
            for contact, url in zip(contacts.to_list(), urls, strict=True)
        ]
        expected = [reference(compiled, context) for context in contexts]
        for _ in range(2):  # the second time from memory
            result = program.fragments(contacts, {"unsubscribe_url": urls})
            given = [
                result.problems.get(row) or [column[row] for column in result.columns] for row in range(len(people))
            ]
            found += [
                f"{part.name}: {got} and not {want}" for got, want in zip(given, expected, strict=True) if got != want
            ]
    return found


@settings(max_examples=CASES, deadline=None)
@given(source=parts, people=batches)
def test_by_columns_as_one_by_one(source: str, people: list[dict[str, Any]]) -> None:
    """The same source under the rules of each part: one line, escaped, and plain."""
    assume(source)
    template = Template(template="t", channel=Channel.EMAIL, subject=source, html=source, text=source)
    try:
        whole = compile_template(template)
    except TemplateError:  # Jinja2 itself cannot, such as {{ ""[0] ~ "x" }} or a block that is there twice
        reject()
    assert differences(whole, people) == []
