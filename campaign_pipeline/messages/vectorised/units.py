"""Pieces that Jinja2 itself renders, once for each distinct value of what they read."""

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, nodes

from campaign_pipeline.messages.environment import RECORDS, Record
from campaign_pipeline.messages.vectorised.rows import Coded, Rows

REMEMBERED = 50_000
"""Results that a unit keeps from batch to batch."""


class Unit:
    """A piece of a template as a function of the columns that it reads, which is rendered in its environment."""

    def __init__(
        self,
        environment: Environment,
        name: str,
        pieces: Sequence[nodes.Node],
        inputs: Sequence[str],
        constants: Mapping[str, Any],
    ) -> None:
        body = [nodes.Output([piece]) if isinstance(piece, nodes.Expr) else piece for piece in map(deepcopy, pieces)]
        tree = nodes.Template(body, lineno=1)
        tree.set_environment(environment)
        for node in tree.find_all(nodes.Node):
            node.lineno = node.lineno or 1
        code = environment.compile(tree, name)
        template = environment.template_class.from_code(environment, code, environment.make_globals(None))
        self.inputs = tuple(inputs)
        self._root = template.root_render_func
        self._context = template.new_context({"contact": Record(), **constants})
        self._places = [self._place(name) for name in self.inputs]
        self._known: dict[Hashable, str | None] = {}

    def _place(self, name: str) -> tuple[dict[str, Any], str]:
        """Where the value of an input is put."""
        parent = self._context.parent
        root, dot, field = name.partition(".")
        if not dot:
            return parent, name
        return parent.setdefault(root, RECORDS.get(root, dict[str, Any])()), field

    def render(self, values: Sequence[Any]) -> str | None:
        """What the piece prints; None if it raises."""
        for (place, name), value in zip(self._places, values, strict=True):
            place[name] = RECORDS[name](value) if name in RECORDS and place is self._context.parent else value
        try:
            return "".join(self._root(self._context))
        except Exception:  # noqa: BLE001  (a template can raise anything; the reference path says what)
            return None

    def column(self, rows: Rows) -> pl.Series:
        """What the piece prints in every row (String); null where it raises."""
        coded = [rows.coded(name) for name in self.inputs]
        known = [each for each in coded if each is not None]
        if len(known) < len(coded):
            return self._row_by_row(rows)
        if len(known) == 1:
            return self._of_distinct(known[0].codes, [(key,) for key in known[0].keys], zip(known[0].values))
        return self._of_tuples(rows, known)

    def _of_tuples(self, rows: Rows, coded: list[Coded]) -> pl.Series:
        sizes = [len(each.keys) for each in coded]
        if np.prod([float(size) for size in sizes]) >= 2**63:
            return self._row_by_row(rows)
        together = np.zeros(rows.height, dtype=np.int64)
        for each in coded:
            together = together * len(each.keys) + each.codes.to_numpy()
        distinct, codes = np.unique(together, return_inverse=True)
        places = np.unravel_index(distinct, sizes) if len(distinct) else [np.zeros(0, dtype=np.int64)] * len(sizes)
        keys = zip(*([each.keys[i] for i in place] for each, place in zip(coded, places, strict=True)), strict=True)
        values = zip(*([each.values[i] for i in place] for each, place in zip(coded, places, strict=True)), strict=True)
        return self._of_distinct(pl.Series(codes).cast(pl.UInt32), list(keys), values)

    def _of_distinct(self, codes: pl.Series, keys: list[tuple[Hashable, ...]], values: Any) -> pl.Series:
        known = self._known
        if len(known) > REMEMBERED:
            known.clear()
        results: list[str | None] = []
        for key, value in zip(keys, values, strict=True):
            if key not in known:
                known[key] = self.render(value)
            results.append(known[key])
        return pl.Series(results, dtype=pl.String).gather(codes)

    def _row_by_row(self, rows: Rows) -> pl.Series:
        columns = [rows[name].to_list() for name in self.inputs]
        return pl.Series([self.render(values) for values in zip(*columns, strict=True)], dtype=pl.String)
