"""How each slot of a template is rendered, from fastest to slowest, and why: what makes one slow can be seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl
from jinja2 import nodes

from campaign_pipeline.messages.compiled import CompiledPart, compile_template
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.environment import RECORDS
from campaign_pipeline.messages.run_context import COLUMNS
from campaign_pipeline.messages.vectorised.program import Program

How = Literal["constant", "native", "distinct", "loop", "fallback"]
_ROWS = 8
_SLOWEST: tuple[How, ...] = ("fallback", "loop", "distinct", "native", "constant")


@dataclass(frozen=True)
class Explained:
    """One slot. how: constant | native (by Polars) | distinct (by Jinja2, each value once) | loop | fallback (each)."""

    part: str
    line: int
    source: str
    how: str
    why: str


def explain(template: Template, fields: Mapping[str, pl.DataType] | None = None) -> list[Explained]:
    """Every slot of the template, in order. `fields`: the contact's, with their types; others are taken for text.

    Links are taken to differ by contact, and what is of the contact to have few values, which Jinja2 renders once each;
    where they turn out to be many, Polars renders what it can.
    """
    compiled = compile_template(template)
    records = _records(compiled.names, fields or {})
    nobody = {
        name: pl.Series([dict.fromkeys(_names(kind))] * _ROWS, dtype=kind)
        for name, kind in records.items()
        if kind.fields or name == "contact"
    }
    contacts = nobody.pop("contact")
    others = {name: pl.Series(map(str, range(_ROWS))) for name in COLUMNS if name in compiled.names} | nobody
    steps: dict[tuple[str, int], dict[str, list[str]]] = {}

    def told(part: str, slot: int, how: str, why: str) -> None:
        steps.setdefault((part, slot), {}).setdefault(how, []).append(why)

    program = Program(compiled, {"campaign": "campaign", "variant": "variant"})
    program.fragments(contacts, others, told)
    return [
        Explained(part.name, line, source, *_slowest(steps.get((part.name, slot), {})))
        for part in compiled.parts
        for slot, (line, source) in enumerate(_slots(part, template.parts()[part.name]))
    ]


def _slowest(steps: Mapping[str, list[str]]) -> tuple[str, str]:
    how = next((each for each in _SLOWEST if each in steps), "constant")
    whys = dict.fromkeys(steps.get(how, ["is text"]))
    return how, "; ".join(whys)


def _records(names: frozenset[str], fields: Mapping[str, pl.DataType]) -> dict[str, pl.Struct]:
    """The types of contact, segments, tables and coupons, as far as the template reads them."""
    guessed = {"segments": pl.Boolean(), "tables": pl.List(pl.Struct({}))}
    found: dict[str, pl.Struct] = {}
    for record in RECORDS:
        used = sorted(name.removeprefix(f"{record}.") for name in names if name.startswith(f"{record}."))
        kinds = {name: guessed.get(record, pl.String()) for name in used}
        found[record] = pl.Struct(kinds | dict(fields) if record == "contact" else kinds)
    return found


def _names(kind: pl.Struct) -> list[str]:
    return [field.name for field in kind.fields]


def _slots(part: CompiledPart, source: str) -> list[tuple[int, str]]:
    """(line, source) of each slot; where it cannot be told, the source is its first line."""
    found = list(_between_texts(part, source))
    if len(found) == part.skeleton.slots:
        return found
    lines = source.splitlines() or [""]
    starts = [min((each.lineno for each in _nodes(slot)), default=1) for slot in part.cut.slots]
    starts += [1] * (part.skeleton.slots - len(starts))
    return [(line, lines[min(line, len(lines)) - 1].strip()) for line in starts]


def _nodes(slot: tuple[nodes.Node, ...]) -> Iterator[nodes.Node]:
    return (node for node in slot if node.lineno)


def _between_texts(part: CompiledPart, source: str) -> Iterator[tuple[int, str]]:
    """The statements and expressions between the texts of the top level, as they are written."""
    pieces: list[str] = []
    start, depth, opening = 1, 0, False
    for line, kind, text in part.cut.environment.lex(source):
        if kind == "data" and not depth and text:
            if pieces:
                yield start, "".join(pieces).strip()
            pieces = []
            continue
        if opening and kind == "name":
            depth += -1 if text.startswith("end") else int(text in _OPENS)
        opening = kind == "block_begin" or (opening and kind == "whitespace")
        if kind.startswith("comment"):
            continue
        if not pieces:
            start = line
        pieces.append(text)
    if pieces:
        yield start, "".join(pieces).strip()


_OPENS = frozenset({"for", "if", "with", "filter", "macro", "call", "autoescape", "block"})
