"""A compiled template over the rows of a batch: the fragments of all its parts, as columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaign_pipeline.messages.compiled import CompiledPart, CompiledTemplate, Problem, RenderingError
from campaign_pipeline.messages.environment import RECORDS, Record
from campaign_pipeline.messages.vectorised import text
from campaign_pipeline.messages.vectorised.reads import CannotDivide, shared_state
from campaign_pipeline.messages.vectorised.rows import Rows
from campaign_pipeline.messages.vectorised.writer import Part, Told, Writer

ToldOfSlot = Callable[[str, int, str, str], None]
"""Called with part, slot (from 0), how it is rendered, and why."""


@dataclass(frozen=True)
class Fragments:
    """columns: one String column a slot, of all parts in order; problems: by row, of those without fragments."""

    columns: list[pl.Series]
    problems: dict[int, Problem]
    by_reference: list[int]
    """The rows that the reference path rendered."""


class Program:
    """`constants`: what the template's context has that is the same for all rows."""

    def __init__(self, compiled: CompiledTemplate, constants: Mapping[str, Any]) -> None:
        self.compiled = compiled
        self.constants = dict(constants)
        self._parts = [
            (
                part,
                Part(part.cut.environment, part.name, part.single_line, self.constants),
                part.cut.state or shared_state(part.cut.environment, part.cut.slots),
            )
            for part in compiled.parts
        ]

    def fragments(
        self, contacts: pl.Series, others: Mapping[str, pl.Series], told: ToldOfSlot | None = None
    ) -> Fragments:
        """The fragments of every row; `contacts` is a struct column, `others` are the context's other columns.

        Of these, `segments`, `tables` and `coupons` are structs too.
        """
        rows = _rows(contacts, others)
        columns: list[pl.Series] = []
        doubtful = pl.Series([False]).new_from_index(0, rows.height)
        for part, of_part, state in self._parts:
            own = self._columns(part, of_part, state, rows, told)
            if part.plain:
                own = [text.in_plain_characters(column) for column in own]
            for column in own:
                doubtful |= column.is_null()
            if part.can_be_blank:
                blank = pl.Series([True]).new_from_index(0, rows.height)
                for column in own:
                    blank &= text.may_be_blank(column).fill_null(True)
                doubtful |= blank
            columns += own
        return self._certain(columns, doubtful.arg_true(), contacts, others)

    def _columns(
        self, part: CompiledPart, of_part: Part, why: str | None, rows: Rows, told: ToldOfSlot | None
    ) -> list[pl.Series]:
        """The slots of one part; `why`: they share state, so that Jinja2 renders the part as a whole."""
        if not part.skeleton.slots:
            return []
        if why is None:
            try:
                printed = [
                    Writer(of_part, rows, _of_slot(told, part.name, number)).text(slot)
                    for number, slot in enumerate(part.cut.slots)
                ]
                columns = rows.evaluate(printed)
                return [text.on_one_line(column) for column in columns] if part.single_line else columns
            except CannotDivide as error:
                why = str(error)
        for number in range(part.skeleton.slots):
            if told:
                told(part.name, number, "fallback", f"Jinja2 renders the part for each contact: {why}")
        return self._as_a_whole(part, rows)

    def _as_a_whole(self, part: CompiledPart, rows: Rows) -> list[pl.Series]:
        nothing = [None] * part.skeleton.slots
        found: list[list[str] | list[None]] = []
        for context in self._contexts(rows["contact"], {name: rows[name] for name in rows.names if "." not in name}):
            try:
                found.append(part.render(context))
            except RenderingError:
                found.append(nothing)
        return [pl.Series([each[slot] for each in found], dtype=pl.String) for slot in range(part.skeleton.slots)]

    def _certain(
        self, columns: list[pl.Series], doubtful: pl.Series, contacts: pl.Series, others: Mapping[str, pl.Series]
    ) -> Fragments:
        """The columns, with what the reference path says of the rows in doubt."""
        rows: list[int] = doubtful.to_list()
        problems: dict[int, Problem] = {}
        if not rows:
            return Fragments(columns, problems, rows)
        found: list[list[str]] = []
        told = self.reference(contacts.gather(rows), {name: each.gather(rows) for name, each in others.items()})
        for row, fragments in zip(rows, told, strict=True):
            if isinstance(fragments, Problem):
                problems[row] = fragments
                fragments = [""] * len(columns)
            found.append(fragments)
        certain = [
            column.clone().scatter(rows, pl.Series([each[slot] for each in found], dtype=pl.String))
            for slot, column in enumerate(columns)
        ]
        return Fragments(certain, problems, rows)

    def reference(self, contacts: pl.Series, others: Mapping[str, pl.Series]) -> list[list[str] | Problem]:
        """What each row is, one by one, by Jinja2 alone: its fragments, or why there are none."""
        found: list[list[str] | Problem] = []
        for context in self._contexts(contacts, others):
            try:
                found.append(self.compiled.render(context))
            except RenderingError as error:
                found.append(error.problem)
        return found

    def _contexts(self, contacts: pl.Series, others: Mapping[str, pl.Series]) -> list[dict[str, Any]]:
        """The contexts of the reference path."""
        names = [name for name in others if name != "contact"]
        columns = [_values(name, others[name]) for name in names]
        return [
            {**self.constants, "contact": Record(contact), **dict(zip(names, values, strict=True))}
            for contact, *values in zip(contacts.to_list(), *columns, strict=True)
        ]


def _rows(contacts: pl.Series, others: Mapping[str, pl.Series]) -> Rows:
    columns = {**others, "contact": contacts}
    fields = [
        f"{name}.{field.name}"
        for name, column in columns.items()
        if name in RECORDS and isinstance(column.dtype, pl.Struct)
        for field in column.dtype.fields
    ]

    def load(name: str) -> pl.Series:
        root, _, field = name.partition(".")
        return columns[root].struct.field(field) if field else columns[name]

    return Rows(len(contacts), {*columns, *fields}, load)


def _values(name: str, column: pl.Series) -> list[Any]:
    """A column of the context as the reference path wants it."""
    record = RECORDS.get(name)
    return column.to_list() if record is None else [record(value) for value in column.to_list()]


def _of_slot(told: ToldOfSlot | None, part: str, slot: int) -> Told:
    return lambda how, why: told(part, slot, how, why) if told else None
