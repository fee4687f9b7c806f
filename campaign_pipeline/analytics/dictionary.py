"""The data dictionary: every table of the warehouse with its columns, types and meanings, out of what makes them.

Tables that SQL makes are explained by the heads of their models; those that Python makes by the comments beside their
columns in schemas.py and table_schemas.py.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from campaign_pipeline.analytics import schemas, table_schemas
from campaign_pipeline.analytics.heads import Head, read_head
from campaign_pipeline.analytics.warehouse import VIEWS, column_types
from campaign_pipeline.core.paths import SQL_DIR

COMMON = {
    "campaign": "name of the campaign",
    "channel": "email, sms, whatsapp or webhook",
    "contact_id": "opaque id of the contact",
    "day": "UTC day",
    "decision_reason": "why the decision is as it is",
    "event_id": "id of the event",
    "experiment": "name of the experiment",
    "is_control": "this is the variant that the others are compared with",
    "machine": "no human did it",
    "machine_reason": "which rule took it for a machine's; null: a human's",
    "message_id": "opaque id of the message; null: there is none",
    "metric": "name of the metric",
    "reason": "why, within the status; empty: the status says it",
    "run_id": "the run: campaign and time",
    "seq_p_adjusted": "seq_p, adjusted for the number of treatments of the metric",
    "srm_chi2": "chi-square of the sample-ratio check",
    "statistic": "of the test",
    "status": "what the freeze decided for the contact: words.AudienceStatus",
    "template": "name of the template",
    "type": "kind of the event: words.EventType",
    "variant": "arm of the test",
}
"""What means the same wherever it stands, unless it is said otherwise."""

_ENDS = {"_low": "lower", "_high": "upper"}
"""Of columns that are an end of an interval."""

TITLES = {
    "ab_results": "how the variants of a run compare, as it stood at the end of a day",
    "audience": "who was in the segment of a run, and what was decided for each",
    "delivery_events": "what happened to messages",
    "holdout_lift": "what sending brought about, beside what is attributed to it",
}
"""Of tables that no model of their own name makes."""

_DEFINED = re.compile(r"(?P<name>[A-Z_]+): dict\[str, Any\] = \{(?:  # (?:grain: )?(?P<grain>.*))?")
_COLUMN = re.compile(r'    "(?P<name>\w+)": [^#]*(?:# (?P<text>.*))?')


@dataclass(frozen=True)
class Column:
    name: str
    type: str  # of DuckDB; "" in steps between tables, which are not kept
    meaning: str


@dataclass(frozen=True)
class Table:
    """`sections`: Inputs, Params, Grain, Rule, Source, where they are given. `kept`: it is a view of the warehouse."""

    name: str
    title: str
    sections: dict[str, str]
    columns: tuple[Column, ...]
    kept: bool


@cache
def heads() -> dict[str, Head]:
    return {file.stem: read_head(file) for file in sorted((SQL_DIR / "analytics").glob("*.sql"))}


def tables() -> list[Table]:
    """The views of the warehouse by name, then the steps between them."""
    kept = [_kept(name) for name in sorted(VIEWS)]
    return kept + [_step(head) for name, head in heads().items() if name not in VIEWS]


def _kept(name: str) -> Table:
    head = heads().get(name) or _commented(name)
    columns = tuple(
        Column(column, kind, head.columns.get(column) or _common(column))
        for column, kind in column_types(VIEWS[name]).items()
    )
    return Table(name, head.title, head.sections, columns, kept=True)


def _step(head: Head) -> Table:
    columns = (Column(name, "", meaning or _common(name)) for name, meaning in head.columns.items())
    return Table(head.name, head.title, head.sections, tuple(columns), kept=False)


def _common(column: str) -> str:
    for end, word in _ENDS.items():
        if column.endswith(end):
            return f"{word} end of the interval of {column.removesuffix(end)}"
    return COMMON.get(column, "")


def _commented(name: str) -> Head:
    """What the comments say of a table that is described where its columns are."""
    for module in (schemas, table_schemas):
        found, grain, columns = False, "", dict[str, str]()
        for line in inspect.getsource(module).splitlines():
            if defined := _DEFINED.fullmatch(line):
                found, grain = defined["name"] == name.upper(), defined["grain"] or ""
            elif line == "}" and found:
                return Head(name, TITLES.get(name, ""), {"Grain": grain} if grain else {}, columns)
            elif found and (column := _COLUMN.fullmatch(line)):
                columns[column["name"]] = column["text"] or ""
    return Head(name, TITLES.get(name, ""), {}, {})


def as_markdown() -> str:
    """docs/data-dictionary.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    every = tables()
    kept, steps = [each for each in every if each.kept], [each for each in every if not each.kept]
    yield "# Data dictionary"
    yield ""
    yield "Every table of `data/warehouse.duckdb`, with its columns. Written by `campaigns dictionary` from the heads"
    yield "of `sql/analytics/*.sql` and the schemas; a test compares it with the tables. How to read and ask them:"
    yield "[analytics.md](analytics.md)."
    yield ""
    yield "| Table | One row is | What it tells |"
    yield "|---|---|---|"
    for each in kept:
        yield f"| [{each.name}](#{each.name}) | {_cell(each.sections.get('Grain', ''))} | {_cell(each.title)} |"
    for each in kept:
        yield from ("", f"## {each.name}", "", *_described(each), "", "| Column | Type | Meaning |", "|---|---|---|")
        yield from (f"| `{c.name}` | {c.type} | {_cell(c.meaning)} |" for c in each.columns)
    yield from ("", "# Steps between", "", "What models hand to each other; it is kept nowhere.")
    for each in steps:
        yield from ("", f"## {each.name}", "", *_described(each), "", "| Column | Meaning |", "|---|---|")
        yield from (f"| `{c.name}` | {_cell(c.meaning)} |" for c in each.columns)


def _described(table: Table) -> Iterator[str]:
    yield table.title[:1].upper() + table.title[1:] + "."
    for name in ("Grain", "Inputs", "Params", "Rule", "Source"):
        if text := table.sections.get(name):
            yield ""
            yield f"**{name}.** {text}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
