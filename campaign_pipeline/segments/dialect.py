"""SQLAlchemy for DuckDB: PostgreSQL's dialect with $1 parameters, and the few expressions in which the two differ.

The JSON functions answer NULL where the key is absent or holds another type, so that a comparison is never an error.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

EXACT = sa.Numeric(24, 6)
"""Sums are exact to six decimals: money adds up the same in every order, which floats do not."""


class DuckDB(PGDialect):
    name = "duckdb"
    supports_statement_cache = True

    def __init__(self) -> None:
        super().__init__(paramstyle="numeric_dollar")


def duckdb_sql(query: sa.Select[Any]) -> tuple[str, list[Any]]:
    """The query's text for DuckDB, and its parameters in order."""
    compiled: Any = query.compile(dialect=DuckDB(), compile_kwargs={"render_postcompile": True})
    return compiled.string, [compiled.params[name] for name in compiled.positiontup]


class Bytewise(FunctionElement[str]):
    """Text that is compared by its bytes, whatever the database's collation."""

    type = sa.Text()
    inherit_cache = True


class Matches(FunctionElement[bool]):
    """Whether a text matches a pattern that is anchored at both ends, and that both databases read alike."""

    type = sa.Boolean()
    inherit_cache = True


class Microseconds(FunctionElement[int]):
    """A time as microseconds since 1970, for elapsed time: databases count days of intervals in their own zone."""

    type = sa.BigInteger()
    inherit_cache = True


class HasItem(FunctionElement[bool]):
    """Whether a list of text has an item."""

    type = sa.Boolean()
    inherit_cache = True


class Millionths(FunctionElement[Any]):
    """A whole number or an EXACT one as a whole number of millionths, which may have 30 digits."""

    type = sa.Numeric()
    inherit_cache = True


class Rounded(FunctionElement[Any]):
    """Millionths divided by a whole number above 0, rounded to six decimals, halves away from zero."""

    type = sa.Numeric()
    inherit_cache = True


class WholeQuotient(FunctionElement[int]):
    """A whole number of at least 0 divided by one above 0, without the rest."""

    type = sa.BigInteger()
    inherit_cache = True


class JsonText(FunctionElement[str]):
    type = sa.Text()
    inherit_cache = True


class JsonNumber(FunctionElement[float]):
    type = sa.Double()
    inherit_cache = True


class JsonExact(FunctionElement[Any]):
    """A number as EXACT; NULL from 10^18 on."""

    type = EXACT
    inherit_cache = True


class JsonBoolean(FunctionElement[bool]):
    type = sa.Boolean()
    inherit_cache = True


class JsonIsSet(FunctionElement[bool]):
    """Whether the key is there with a value that is not null."""

    type = sa.Boolean()
    inherit_cache = True


def json_arguments(document: sa.ColumnElement[Any], key: str) -> tuple[sa.ColumnElement[Any], ...]:
    """What the Json functions take: the document, the key for PostgreSQL and its JSON pointer for DuckDB, both bound.

    A plain key will not do for DuckDB, which reads one that starts with $ or / as a path.
    """
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    return document, sa.literal(key, sa.Text()), sa.literal(pointer, sa.Text())


def _template(element: type[FunctionElement[Any]], postgresql: str, duckdb: str) -> None:
    """Render `element` on each database: {d} is its document (or only argument), {k} its key, {p} its pointer."""

    def render(template: str) -> Any:
        def visit(function: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
            parts = zip("dkp", function.clauses, strict=False)
            texts = {name: compiler.process(part, **kw) for name, part in parts if f"{{{name}}}" in template}
            return template.format(**texts)

        return visit

    compiles(element, "postgresql")(render(postgresql))
    compiles(element, "duckdb")(render(duckdb))


_template(Bytewise, '({d} COLLATE "C")', "{d}")
_template(Matches, "({d} ~ {k})", "regexp_matches({d}, {k})")
_template(Microseconds, "CAST(extract(epoch FROM {d}) * 1000000 AS BIGINT)", "epoch_us({d})")
_template(HasItem, "({k} = ANY({d}))", "list_contains({d}, {k})")
_template(Millionths, "CAST(({d}) * 1000000 AS NUMERIC(30, 0))", "CAST(({d}) * 1000000 AS HUGEINT)")
_template(
    Rounded,
    "(sign({d}) * div(2 * abs({d}) + ({k}), 2 * ({k})) * 0.000001)",
    "(CAST(sign({d}) * ((2 * abs({d}) + ({k})) // (2 * ({k}))) AS DECIMAL(31, 0)) * CAST(0.000001 AS DECIMAL(7, 6)))",
)
_template(WholeQuotient, "(({d}) / ({k}))", "(({d}) // ({k}))")
_template(
    JsonText,
    "CASE WHEN jsonb_typeof({d} -> {k}) = 'string' THEN {d} ->> {k} END",
    "CASE WHEN json_type({d}, {p}) = 'VARCHAR' THEN json_extract_string({d}, {p}) END",
)
# DuckDB: JSON as text keeps the quotes of a string, so that only true numbers survive the cast.
_template(
    JsonNumber,
    "CASE WHEN jsonb_typeof({d} -> {k}) = 'number' THEN CAST({d} ->> {k} AS DOUBLE PRECISION) END",
    "TRY_CAST(CAST(json_extract({d}, {p}) AS VARCHAR) AS DOUBLE)",
)
_template(
    JsonExact,
    "CASE WHEN jsonb_typeof({d} -> {k}) = 'number' THEN"
    " CASE WHEN abs(CAST({d} ->> {k} AS NUMERIC)) < 1e18 THEN CAST({d} ->> {k} AS NUMERIC(24, 6)) END END",
    "TRY_CAST(CAST(json_extract({d}, {p}) AS VARCHAR) AS DECIMAL(24, 6))",
)
_template(
    JsonBoolean,
    "CASE WHEN jsonb_typeof({d} -> {k}) = 'boolean' THEN CAST({d} ->> {k} AS BOOLEAN) END",
    "CASE WHEN json_type({d}, {p}) = 'BOOLEAN' THEN json_extract_string({d}, {p}) = 'true' END",
)
_template(
    JsonIsSet,
    "coalesce(jsonb_typeof({d} -> {k}), 'null') <> 'null'",
    "coalesce(json_type({d}, {p}), 'NULL') <> 'NULL'",
)
