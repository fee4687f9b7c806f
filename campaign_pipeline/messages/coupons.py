"""Pools of coupon codes: each code goes to one contact of one run, and never to another.

A code stays with its contact when the run is rendered again. Who reserves first locks out the others, so that two runs
at the same time cannot take the same code.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import stream_frame
from campaign_pipeline.contacts.rejects import Reject, write_rejects
from campaign_pipeline.contacts.sources.delimited import read_delimited
from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.errors import Inconsistent, InvalidInput, Refused
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.tables import coupon_codes as codes

MAX_LENGTH = 100
CODES = {"contact_id": pl.String, "code": pl.String}

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class ImportedCodes:
    """read = new + known (in the pool already) + rejected."""

    pool: str
    read: int
    new: int
    known: int
    rejected: int
    rejects_path: Path | None


def import_codes(
    connection: sa.Connection, pool: str, file: Path, *, column: str | None = None, rejects_path: Path
) -> ImportedCodes:
    """Add the codes of `file` to `pool`: one a line, or those of `column` if it is a CSV file.

    White space around a code is not part of it. A blank one, one that an earlier line has, that is too long or holds
    control characters is rejected, with its line and why. Codes that the pool has stay as they are.
    """
    check_name("pool", pool)
    lines = list(_csv_lines(file, column) if column or file.suffix.lower() == ".csv" else _text_lines(file))
    good, rejects = _sorted_out(lines)
    new = insert_new(connection, codes, [{"pool": pool, "code": code} for code in good])
    written = write_rejects(rejects_path, rejects)
    return ImportedCodes(pool, len(lines), new, len(good) - new, len(rejects), written)


def _text_lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        yield from enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise InvalidInput(f"{file} is not UTF-8 text", "Give one code a line, or a CSV file.") from None


def _csv_lines(file: Path, column: str | None) -> Iterator[tuple[int, str]]:
    table = read_delimited(file)
    if table.rejects:
        first = min(table.rejects)
        raise InvalidInput(f"{file}: line {first.line} {first.reason}", "Mend the file: no code was taken in.")
    if column is None and len(table.columns) == 1:
        (column,) = table.columns
    if column not in table.columns:
        what = "several columns" if column is None else f"no column {column!r}"
        raise InvalidInput(f"{file} has {what}: {', '.join(table.columns)}", "Say which: --column NAME.")
    yield from table.rows.select(LINE, column).iter_rows()


def _sorted_out(lines: Iterable[tuple[int, str]]) -> tuple[list[str], list[Reject]]:
    first: dict[str, int] = {}
    rejects: list[Reject] = []
    for line, text in lines:
        code = text.strip()
        if not code:
            rejects.append(Reject(line, "is blank", text))
        elif code in first:
            rejects.append(Reject(line, f"line {first[code]} has the same code", text))
        elif len(code) > MAX_LENGTH:
            rejects.append(Reject(line, f"is longer than {MAX_LENGTH} characters", text))
        elif _UNUSABLE.search(code):
            rejects.append(Reject(line, "holds control characters", text))
        else:
            first[code] = line
    return list(first), rejects


def reserve(
    connection: sa.Connection, run_id: str, wanted: Mapping[str, pl.Series], at: datetime
) -> dict[str, pl.DataFrame]:
    """Hand out a code of each pool to each of its contacts: pool -> CODES, a row a contact, sorted by contact_id.

    `wanted`: pool -> contact ids. A contact keeps the code that it has from this run. In one transaction: all of it, or
    Refused, which says how many codes are missing, and nothing.
    """
    if wanted:
        _wait_for_others(connection)
    return {pool: _reserve(connection, run_id, pool, contacts, at) for pool, contacts in sorted(wanted.items())}


def _wait_for_others(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":  # on SQLite, only one may write anyway
        connection.execute(sa.text("LOCK TABLE coupon_codes IN SHARE ROW EXCLUSIVE MODE"))


def _reserve(connection: sa.Connection, run_id: str, pool: str, contacts: pl.Series, at: datetime) -> pl.DataFrame:
    of_run = sa.select(codes.c.contact_id, codes.c.code).where(codes.c.pool == pool, codes.c.run_id == run_id)
    wanted = pl.DataFrame({"contact_id": contacts}).unique().sort("contact_id")
    kept = stream_frame(connection, of_run, CODES).join(wanted, on="contact_id", how="semi")
    without = wanted.join(kept, on="contact_id", how="anti", maintain_order="left")
    free = sa.select(codes.c.code).where(codes.c.pool == pool, codes.c.run_id.is_(None)).order_by(codes.c.code)
    taken = stream_frame(connection, free.limit(without.height), {"code": pl.String})
    if taken.height < without.height:
        raise Refused(
            f"{run_id} needs {without.height:,} codes of pool {pool!r}, which has {taken.height:,} free",
            f"Import more: campaigns coupons import {pool} FILE",
        )
    given = without.hstack(taken)
    _hand_out(connection, run_id, pool, given, at)
    return pl.concat([kept, given]).sort("contact_id")


def _hand_out(connection: sa.Connection, run_id: str, pool: str, given: pl.DataFrame, at: datetime) -> None:
    if given.is_empty():
        return
    # Not `run_id IS NULL`: PostgreSQL would look for that in the other index, among all free codes, for each code.
    is_free = sa.func.coalesce(codes.c.run_id, "") == ""
    free = (codes.c.pool == pool, codes.c.code == sa.bindparam("a_code"), is_free)
    values = {"run_id": run_id, "contact_id": sa.bindparam("a_contact"), "assigned_at": at}
    rows = given.select(a_contact="contact_id", a_code="code").to_dicts()
    changed = connection.execute(sa.update(codes).where(*free).values(values), rows).rowcount
    if changed != given.height:
        raise Inconsistent(f"pool {pool!r}: {given.height - changed:,} codes of {run_id} were taken by somebody else")


def release(connection: sa.Connection, run_id: str, sent_to: pl.Series) -> int:
    """Make the codes of the run free again, except those of `sent_to` (contact ids); how many.

    Only for a run that has ended: a message that may still go out keeps its code.
    """
    _wait_for_others(connection)
    of_run = sa.select(codes.c.pool, codes.c.code, codes.c.contact_id).where(codes.c.run_id == run_id)
    held = stream_frame(connection, of_run, {"pool": pl.String, "code": pl.String, "contact_id": pl.String})
    # A code whose contact was erased is not known to be unused: it stays.
    unused = held.drop_nulls("contact_id").filter(~pl.col("contact_id").is_in(sent_to.implode()))
    if unused.is_empty():
        return 0
    one = (codes.c.pool == sa.bindparam("a_pool"), codes.c.code == sa.bindparam("a_code"))
    free = {"run_id": None, "contact_id": None, "assigned_at": None}
    rows = unused.select(a_pool="pool", a_code="code").to_dicts()
    return connection.execute(sa.update(codes).where(*one).values(free), rows).rowcount


def pools(connection: sa.Connection) -> list[str]:
    """The names of all pools, sorted."""
    return list(connection.execute(sa.select(codes.c.pool).distinct().order_by(codes.c.pool)).scalars())


def pool_counts(connection: sa.Connection) -> pl.DataFrame:
    """Columns pool, run_id (null: free), codes; sorted, the free ones of a pool first."""
    query = sa.select(codes.c.pool, codes.c.run_id, sa.func.count()).group_by(codes.c.pool, codes.c.run_id)
    found = stream_frame(connection, query, {"pool": pl.String, "run_id": pl.String, "codes": pl.Int64})
    return found.sort("pool", "run_id", nulls_last=False)
