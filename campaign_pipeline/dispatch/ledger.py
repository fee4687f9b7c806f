"""The dispatch ledger: what was planned, claimed, and what became of it. Rows are added, never changed.

A batch is claimed (one row, durable before any byte leaves), sent, and its outcomes are appended: one row for what
became of most of it, and one for each message that fared differently. `states` derives from these where each message
is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.lake import Put
from campaign_pipeline.core.tables import batch_outcomes, claims, outcomes, plans, runs
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.covers import as_text, numbers_of

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
COVERED: dict[str, Any] = {"batch_no": pl.Int32, "attempt": pl.Int32, "message_no": pl.Int32}
BATCH_OUTCOMES: dict[str, Any] = {"batch_no": pl.Int32, **{k: v for k, v in OUTCOMES.items() if k != "message_no"}}


_KEYS = 10_000
"""Values in one IN: few enough for every driver's limit of parameters."""


class Ledger(NamedTuple):
    """What the ledger holds of one run, all read at the same moment."""

    claims: pl.DataFrame  # CLAIMS
    outcomes: pl.DataFrame  # OUTCOMES
    batch_outcomes: pl.DataFrame  # BATCH_OUTCOMES
    covered: pl.DataFrame = pl.DataFrame(schema=COVERED)  # whom claims cover that do not cover their batch whole


NEVER_LOSE = "never_lose"
"""Code of the policy's NOT_SENT by which a message in doubt may be sent once more. It knows nothing: see strength."""


class Source(StrEnum):
    """Who says what became of an attempt; of several, states.strength says who counts: proof beats opinion."""

    SEND = "send"  # the provider's answer to the request
    POLICY = "policy"  # a rule of ours: suppressed, expired, cancelled, or what the campaign does in doubt
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


class BatchOutcome(NamedTuple):
    """What became of all messages of a batch that have no row of their own at this attempt."""

    run_id: str
    batch_no: int
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
    connection.execute(_new_rows(plans, connection.dialect.name), plan)
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


def is_planned(connection: sa.Connection, run_id: str) -> bool:
    """Whether the run's messages are planned: from then on they are final."""
    return connection.execute(sa.select(plans.c.run_id).where(plans.c.run_id == run_id)).first() is not None


def hold_run(connection: sa.Connection, run_id: str) -> None:
    """Wait for whoever plans the run, writes what it is planned from, or decides its doubts, until this ends."""
    connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run_id).with_for_update())


def put_unless_planned(engine: sa.Engine, run_id: str, *puts: Put) -> bool:
    """Put partitions from which the run is planned in their place; False, and nothing done, once it is planned."""
    with writing(engine) as connection:
        hold_run(connection, run_id)
        if is_planned(connection, run_id):
            return False
        for put in puts:
            put()
    return True


def claim(
    engine: sa.Engine,
    run_id: str,
    batch_no: int,
    attempt: int,
    worker: str,
    at: datetime,
    left_out: Callable[[sa.Connection], Sequence[OutcomeRow]] = lambda _connection: (),
    whole: Sequence[BatchOutcome] = (),
    covers: Collection[int] | None = None,
) -> bool:
    """Take the batch for this attempt, durably; False if another has it.

    `covers`: numbers of the messages that the claim is for; None: all of the batch. `left_out`, called within the
    transaction, and `whole` give outcomes of messages of the batch that will not be sent, so that a crash afterwards
    leaves no doubt about them.
    """
    row: dict[str, Any] = {"run_id": run_id, "batch_no": batch_no, "attempt": attempt, "worker": worker}
    row |= {"claimed_at": at, "covers": None if covers is None else as_text(covers)}
    with writing(engine) as connection:
        claimed = connection.execute(_new_claim(connection.dialect.name), row).first() is not None
        if claimed:
            append(connection, left_out(connection), whole)
    return claimed


def append_outcomes(engine: sa.Engine, rows: Sequence[OutcomeRow]) -> None:
    """Append `rows` durably, in one transaction; those that are there already are passed over."""
    if rows:
        with writing(engine) as connection:
            append(connection, rows)


_COLUMNS = ", ".join(OutcomeRow._fields)
_SQLITE_APPEND = f"INSERT OR IGNORE INTO outcomes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_POSTGRES_APPEND = (
    f"INSERT INTO outcomes ({_COLUMNS}) SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], "
    "%s::text[], %s::text[], %s::text[], %s::timestamptz[]) ON CONFLICT DO NOTHING"
)
_POSTGRES_COPY = f"COPY outcomes ({_COLUMNS}) FROM STDIN"
_COPY_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _copy(connection: sa.Connection, rows: Sequence[OutcomeRow]) -> None:
    moments = {moment: moment.isoformat() for moment in {row.recorded_at for row in rows}}
    lines = [
        f"{run_id}\t{message_no}\t{attempt}\t{source}\t{outcome}\t{_escaped(code)}\t{_escaped(provider_id)}\t{moments[at]}\n"
        for run_id, message_no, attempt, source, outcome, code, provider_id, at in rows
    ]
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(_POSTGRES_COPY) as copy:
        copy.write("".join(lines))


def _escaped(text: str) -> str:
    """As COPY wants it. Nearly all are letters and digits, and looking for others takes most of the time."""
    return text if text.isalnum() else text.translate(_COPY_ESCAPES)


def append(
    connection: sa.Connection, rows: Sequence[OutcomeRow], whole: Sequence[BatchOutcome] = (), *, fresh: bool = False
) -> None:
    """Append within a transaction. Straight to the driver: an ORM-free executemany costs four times as much.

    Rows that are there already are passed over, unless they are `fresh`: by the holder of their claim, who alone can
    say what the provider answered.
    """
    if whole:
        connection.execute(_new_rows(batch_outcomes, connection.dialect.name), [row._asdict() for row in whole])
    if not rows:
        return
    if fresh and connection.dialect.name == "postgresql":
        _copy(connection, rows)  # a quarter of the time of INSERT
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


def read_ledger(connection: sa.Connection, run_id: str) -> Ledger:
    """All that the ledger holds of the run.

    In this order, so that where each statement sees a later state (PostgreSQL), a batch's outcome never lacks those of
    its messages that fared differently, and no outcome lacks its claim: what is missing looks in doubt.
    """
    whole = read_batch_outcomes(connection, run_id)
    single = read_outcomes(connection, run_id)
    claimed = read_claims(connection, run_id)
    query = sa.select(claims.c.batch_no, claims.c.attempt, claims.c.covers)
    partial = connection.execute(query.where(claims.c.run_id == run_id, claims.c.covers.is_not(None)))
    return Ledger(claimed, single, whole, _covered(partial))


def read_ledger_of(
    connection: sa.Connection, run_id: str, batches: Collection[int], messages: Collection[int]
) -> Ledger:
    """What the ledger holds of some messages of the run, and of their batches."""

    def rows(table: sa.Table, names: Collection[str], key: str, values: Collection[int]) -> Iterator[Any]:
        query = sa.select(*(table.c[name] for name in names)).where(table.c.run_id == run_id)
        keys = sorted(values)
        for start in range(0, len(keys), _KEYS):
            yield from connection.execute(query.where(table.c[key].in_(keys[start : start + _KEYS])))

    def read(table: sa.Table, schema: dict[str, Any], key: str, values: Collection[int]) -> pl.DataFrame:
        found = [tuple(row) for row in rows(table, schema, key, values)]
        return pl.DataFrame(found, schema=schema, orient="row")

    whole = read(batch_outcomes, BATCH_OUTCOMES, "batch_no", batches)
    single = read(outcomes, OUTCOMES, "message_no", messages)
    claimed = read(claims, CLAIMS, "batch_no", batches)
    partial = rows(claims, ("batch_no", "attempt", "covers"), "batch_no", batches)
    return Ledger(claimed, single, whole, _covered(row for row in partial if row.covers is not None))


def _covered(partial: Iterable[Any]) -> pl.DataFrame:
    """COVERED, of rows (batch_no, attempt, covers)."""
    covered = [(batch_no, attempt, number) for batch_no, attempt, covers in partial for number in numbers_of(covers)]
    return pl.DataFrame(covered, schema=COVERED, orient="row")


def claimed_by(connection: sa.Connection, run_id: str, first: int, last: int) -> dict[tuple[int, int], str]:
    """(batch_no, attempt) -> worker, of the batches from `first` to `last`."""
    query = sa.select(claims.c.batch_no, claims.c.attempt, claims.c.worker).where(
        claims.c.run_id == run_id, claims.c.batch_no.between(first, last)
    )
    return {(batch_no, attempt): worker for batch_no, attempt, worker in connection.execute(query)}


def read_batch_outcomes(connection: sa.Connection, run_id: str) -> pl.DataFrame:
    """The run's outcomes of whole batches, columns BATCH_OUTCOMES."""
    columns = [batch_outcomes.c[name] for name in BATCH_OUTCOMES]
    rows = connection.execute(sa.select(*columns).where(batch_outcomes.c.run_id == run_id)).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=BATCH_OUTCOMES, orient="row")


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


@cache
def _new_rows(table: sa.Table, dialect: str) -> Any:
    """An INSERT that passes over rows that are there. Made once: making it takes longer than running it."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


@cache
def _new_claim(dialect: str) -> Any:
    """As `_new_rows`, with a row for the one who got it."""
    return _new_rows(claims, dialect).returning(claims.c.batch_no)


def _stored(connection: sa.Connection) -> Callable[[datetime], Any]:
    """How this database stores a moment."""
    return outcomes.c.recorded_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) or _same


def _same(moment: datetime) -> datetime:
    return moment
