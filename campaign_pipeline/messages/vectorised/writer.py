"""From Jinja2's syntax tree to Polars expressions: what a piece of a template prints, and whether a test holds.

Null means "not vouched for" (see the package). `when` without `otherwise` keeps it so: a test that is not vouched for
gives null, and what a branch that is not taken would have given does not matter.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from jinja2 import Environment, nodes

from campaign_pipeline.messages.vectorised import native
from campaign_pipeline.messages.vectorised.loops import loop
from campaign_pipeline.messages.vectorised.reads import CannotDivide, reads
from campaign_pipeline.messages.vectorised.rows import Rows
from campaign_pipeline.messages.vectorised.units import Unit

Told = Callable[[str, str], None]
"""Called with how a piece is rendered (see explain.py), and why."""


@dataclass(frozen=True)
class Part:
    """What is the same for all pieces of one part of a template, in all batches."""

    environment: Environment
    name: str
    single_line: bool
    constants: Mapping[str, Any]
    units: dict[Hashable, Unit] = field(default_factory=dict)

    def unit(self, pieces: Sequence[nodes.Node], inputs: Sequence[str], test: bool) -> Unit:
        key = (*map(id, pieces), test)
        if key not in self.units:
            if test:
                (tested,) = pieces
                assert isinstance(tested, nodes.Expr)
                pieces = [nodes.CondExpr(tested, nodes.Const("1"), nodes.Const("0"), lineno=tested.lineno)]
            try:
                self.units[key] = Unit(self.environment, self.name, pieces, inputs, self.constants)
            except Exception as error:  # an unknown filter, say, is an error only where it is not in an if
                raise CannotDivide("a piece does not compile by itself") from error
        return self.units[key]


@dataclass
class Writer:
    """Writes the pieces of one part for the rows of one batch."""

    part: Part
    rows: Rows
    told: Told = lambda _how, _why: None

    def below(self, rows: Rows) -> "Writer":
        """For what is inside a loop, with a row for each item."""
        return Writer(self.part, rows, self.told)

    def reads(self, pieces: Sequence[nodes.Node]) -> list[str]:
        found = {name for piece in pieces for name in reads(self.part.environment, self.rows.names, piece)}
        whole = {name for name in found if "." not in name}
        return sorted(name for name in found if "." not in name or name.partition(".")[0] not in whole)

    def text(self, pieces: Sequence[nodes.Node]) -> pl.Expr:
        """What the pieces print one after the other: a String expression over the batch's rows."""
        if all(isinstance(piece, nodes.TemplateData) for piece in pieces):
            return pl.lit("".join(piece.data for piece in pieces if isinstance(piece, nodes.TemplateData)))
        inputs = self.reads(pieces)
        if len(inputs) < 1 or (len(inputs) == 1 and self.rows.few(inputs[0])):
            return self.unit(pieces, inputs)
        if len(pieces) > 1:
            return joined([self.text([piece]) for piece in pieces])
        piece = pieces[0]
        written = self._divided(piece, inputs)
        return self.unit(pieces, inputs) if written is None else written

    def _divided(self, piece: nodes.Node, inputs: list[str]) -> pl.Expr | None:
        """`piece` by its parts; None if Jinja2 has to render it as a whole."""
        match piece:
            case nodes.Output():
                return self.text(piece.nodes)
            case nodes.If():
                return self._branches(piece)
            case nodes.For():
                return loop(self, piece)
            case nodes.CondExpr(expr2=nodes.Expr() as other):
                return self.choice(piece.test, self.text([piece.expr1]), self.text([other]))
            case nodes.Or():
                return self.choice(piece.left, self.text([piece.left]), self.text([piece.right]))
            case nodes.And():
                return self.choice(piece.left, self.text([piece.right]), self.text([piece.left]))
            case nodes.Concat():
                return joined([self.text([each]) for each in piece.nodes])
            case nodes.Filter(name="default" | "d", node=nodes.Expr() as value) if (
                other := default(piece)
            ) is not None:
                return self.choice(value, self.text([value]), self.text([other]))
            case nodes.Name() | nodes.Getattr() | nodes.Getitem() if self.is_column(piece, inputs):
                return self._printed(inputs[0])
            case _:
                return None

    def unit(self, pieces: Sequence[nodes.Node], inputs: list[str], test: bool = False) -> pl.Expr:
        unit = self.part.unit(pieces, inputs, test)
        if not inputs:
            self.told("constant", "reads nothing of the contact")
            return pl.lit(unit.render(()), dtype=pl.String)
        self.told(*self._how(inputs))
        return self.rows.expression(unit.column(self.rows))

    def _how(self, inputs: list[str]) -> tuple[str, str]:
        names = " and ".join(inputs)
        if all(self.rows.coded(name) is not None for name in inputs):
            return "distinct", f"Jinja2 renders it once for each value of {names}"
        return "fallback", f"Jinja2 renders it for each contact: it reads {names}"

    def truth(self, test: nodes.Expr) -> tuple[pl.Expr, bool]:
        """Whether `test` holds (Boolean), and whether that is certain: never null."""
        inputs = self.reads([test])
        if isinstance(test, nodes.Not):
            holds, certain = self.truth(test.node)
            return ~holds, certain
        if len(inputs) > 1 or (inputs and not self.rows.few(inputs[0])):
            if isinstance(test, nodes.And | nodes.Or):
                return self._logic(test)
            if (found := native.truth(self, test, inputs)) is not None:
                self.told("native", "a test of a column")
                return found
        if not inputs:
            told = self.part.unit([test], inputs, True).render(())
            return pl.lit(None if told is None else told == "1", dtype=pl.Boolean), told is not None
        unit = self.part.unit([test], inputs, True)
        self.told(*self._how(inputs))
        printed = unit.column(self.rows)
        return self.rows.expression(printed == "1"), printed.null_count() == 0

    def _logic(self, test: nodes.And | nodes.Or) -> tuple[pl.Expr, bool]:
        """Not Kleene's logic: the left side comes first, and if it fails so does the whole."""
        (left, first), (right, second) = self.truth(test.left), self.truth(test.right)
        decided = pl.lit(isinstance(test, nodes.Or))
        if isinstance(test, nodes.Or):
            chosen = when((left, first), decided, right)
        else:
            chosen = when((left, first), right, decided)
        return chosen, first and second

    def choice(self, test: nodes.Expr, yes: pl.Expr, no: pl.Expr) -> pl.Expr:
        return when(self.truth(test), yes, no)

    def _branches(self, piece: nodes.If) -> pl.Expr:
        otherwise = self.text(piece.else_) if piece.else_ else pl.lit("")
        for branch in reversed([piece, *piece.elif_]):
            assert isinstance(branch.test, nodes.Expr)
            otherwise = self.choice(branch.test, self.text(branch.body), otherwise)
        return otherwise

    def is_column(self, node: nodes.Node, inputs: list[str]) -> bool:
        """Whether `node` is nothing but the column that it reads."""
        match node:
            case nodes.Name(name=name):
                return inputs == [name]
            case (
                nodes.Getattr(node=nodes.Name(name=root), attr=str(attribute))
                | nodes.Getitem(node=nodes.Name(name=root), arg=nodes.Const(value=str(attribute)))
            ):
                return inputs == [f"{root}.{attribute}"]
            case _:
                return False

    def _printed(self, name: str) -> pl.Expr | None:
        column = native.printed(self, name)
        if column is None:
            return None
        self.told("native", f"{name} as it is")
        return self.rows.expression(column)


def when(test: tuple[pl.Expr, bool], yes: pl.Expr, no: pl.Expr) -> pl.Expr:
    holds, certain = test
    chosen = pl.when(holds).then(yes)
    return chosen.otherwise(no) if certain else chosen.when(~holds).then(no)


def joined(texts: list[pl.Expr]) -> pl.Expr:
    return pl.concat_str(texts, ignore_nulls=False) if texts else pl.lit("")


def default(piece: nodes.Filter) -> nodes.Expr | None:
    """What `x | default(y, true)` gives for what is false; None for any other way to call it."""
    keywords: list[Any] = piece.kwargs or []
    match piece, keywords:
        case nodes.Filter(args=[other, nodes.Const(value=True)], dyn_args=None, dyn_kwargs=None), []:
            return other
        case (
            nodes.Filter(args=[other], dyn_args=None, dyn_kwargs=None),
            [nodes.Keyword(key="boolean", value=nodes.Const(value=True))],
        ):
            return other
        case _:
            return None
