"""The dispatch ledger: what was planned, claimed, and what became of it. Rows are added, never changed.

A batch is claimed (one row, durable before any byte leaves), sent, and its outcomes are appended, one row a
message and attempt. `states` derives from these where each message is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.tables import claims, outcomes, plans
from campaign_pipeline.core.words import Outcome

UTC_TIME = pl.Datetime("us", "UTC")
CLAIMS: dict[str, Any] = {"batch_no": pl.Int32, "attempt": pl.Int32, "worker": pl.String, "claimed_at": UTC_TIME}
OUTCOMES: dict[str, Any] = {
    "message_no": pl.Int32,
    "attempt": pl.Int32,
    "source": pl.String,
    "outcome": pl.String,
    "code": pl.String,
    "provider_id": pl.String,
    "recorded_at": UTC_TIME,
}


class Source(StrEnum):
    """Who says what became of an attempt; of several, the last in this order counts: proof beats opinion."""

    SEND = "send"  # the provider's answer to the request
    POLICY = "policy"  # a rule of ours: suppressed, expired, cancelled, or given up as unknown
    OPERATOR = "operator"  # a person decided
    LOOKUP = "lookup"  # the provider was asked and showed the message
    EVENT = "event"  # an event names the attempt: proof that it was processed


class OutcomeRow(NamedTuple):
    """One row of the ledger, in the order of the table's columns."""

    run_id: str
    message_no: int
    attempt: int
    source: Source
    outcome: Outcome
    code: str
    provider_id: str
    recorded_at: datetime


def record_plan(
    connection: sa.Connection, run_id: str, *, messages: int, batches: int, content_hash: str, at: datetime
) -> None:
    """Note what the run's batch file holds; the same again is a no-op, anything else Inconsistent."""
    plan = {"run_id": run_id, "messages": messages, "batches": batches, "content_hash": content_hash, "planned_at": at}
    connection.execute(_insert(connection)(plans).values(plan).on_conflict_do_nothing())
    require_plan(connection, run_id, content_hash)


def require_plan(connection: sa.Connection, run_id: str, content_hash: str) -> None:
    """Inconsistent unless the run was planned with exactly this batch file."""
    planned = connection.execute(sa.select(plans.c.content_hash).where(plans.c.run_id == run_id)).scalar_one_or_none()
    if planned is None:
        raise Inconsistent(f"{run_id} has no plan in the ledger", "Materialise dispatch: it plans before it sends.")
    if planned != content_hash:
        raise Inconsistent(
            f"{run_id}: the messages in the lake are not those that were planned",
            "Nothing was sent from them. Restore messages and skeletons of this run, or cancel it and start another.",
        )


def claim(
    engine: sa.Engine,
    run_id: str,
    batch_no: int,
    attempt: int,
    worker: str,
    at: datetime,
    left_out: Sequence[OutcomeRow] = (),
) -> bool:
    """Take the batch for this attempt, durably; False if another has it.

    `left_out`: outcomes of messages of the batch that will not be sent, in the same transaction, so that a crash
    afterwards leaves no doubt about them.
    """
    row = {"run_id": run_id, "batch_no": batch_no, "attempt": attempt, "worker": worker, "claimed_at": at}
    with writing(engine) as connection:
        insert = _insert(connection)(claims).values(row).on_conflict_do_nothing().returning(claims.c.batch_no)
        claimed = connection.execute(insert).first() is not None
        if claimed:
            append(connection, left_out)
    return claimed


def append_outcomes(engine: sa.Engine, rows: Sequence[OutcomeRow]) -> None:
    """Append `rows` durably, in one transaction; those that are there already are passed over."""
    with writing(engine) as connection:
        append(connection, rows)


_COLUMNS = ", ".join(OutcomeRow._fields)
_SQLITE_APPEND = f"INSERT OR IGNORE INTO outcomes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_POSTGRES_APPEND = (
    f"INSERT INTO outcomes ({_COLUMNS}) SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], "
    "%s::text[], %s::text[], %s::text[], %s::timestamptz[]) ON CONFLICT DO NOTHING"
)


def append(connection: sa.Connection, rows: Sequence[OutcomeRow]) -> None:
    """Append `rows` within a transaction. Straight to the driver: an ORM-free executemany costs four times as much."""
    if not rows:
        return
    moments = {row.recorded_at for row in rows}
    stored = {moment: _stored(connection)(moment) for moment in moments}
    plain = [
        (
            r.run_id,
            r.message_no,
            r.attempt,
            r.source.value,
            r.outcome.value,
            r.code,
            r.provider_id,
            stored[r.recorded_at],
        )
        for r in rows
    ]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_POSTGRES_APPEND, tuple(list(column) for column in zip(*plain, strict=True)))
    else:
        connection.exec_driver_sql(_SQLITE_APPEND, plain)


def read_claims(connection: sa.Connection, run_id: str) -> pl.DataFrame:
    """The run's claims, columns CLAIMS."""
    columns = [claims.c[name] for name in CLAIMS]
    rows = connection.execute(sa.select(*columns).where(claims.c.run_id == run_id)).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=CLAIMS, orient="row")


def read_outcomes(connection: sa.Connection, run_id: str, *, source: Source | None = None) -> pl.DataFrame:
    """The run's outcomes, columns OUTCOMES, from all sources or one."""
    on_sqlite = connection.dialect.name == "sqlite"
    columns: list[sa.ColumnElement[Any]] = [outcomes.c[name] for name in OUTCOMES]
    if on_sqlite:  # times are text there: parsed as one column, not one by one
        columns[-1] = sa.type_coerce(outcomes.c.recorded_at, sa.String)
    query = sa.select(*columns).where(outcomes.c.run_id == run_id)
    if source is not None:
        query = query.where(outcomes.c.source == source.value)
    rows = connection.execute(query).all()
    values: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(OUTCOMES)
    schema = OUTCOMES | ({"recorded_at": pl.String} if on_sqlite else {})
    frame = pl.DataFrame(dict(zip(OUTCOMES, map(list, values), strict=True)), schema=schema)
    parsed = pl.col("recorded_at").str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", time_zone="UTC")
    return frame.with_columns(parsed) if on_sqlite else frame


def _insert(connection: sa.Connection) -> Callable[[sa.Table], Any]:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _stored(connection: sa.Connection) -> Callable[[datetime], Any]:
    """How this database stores a moment."""
    return outcomes.c.recorded_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) or _same


def _same(moment: datetime) -> datetime:
    return moment
