"""A planned run without the stages before it, and a provider that is a list."""

from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import campaign_versions, runs
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Message, Result
from campaign_pipeline.dispatch.outcomes import VERDICTS, Kind
from tests.databases import sqlite_database

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


class ListChannel:
    """Keeps what it is sent. `answers(message, attempt)` says what comes back; by default all is accepted."""

    name = Channel.EMAIL
    provider = "sendgrid"
    capabilities = Capabilities(max_batch=1000, lookup=True)

    def __init__(self) -> None:
        self.requests: list[Batch] = []
        self.processed: list[tuple[int, int]] = []  # (message_no, attempt) that a recipient gets
        self.answers: Callable[[Message, int], Kind] = lambda _message, _attempt: Kind.ACCEPTED
        self.before: Callable[[Batch], None] = lambda _batch: None
        self.after: Callable[[Batch], None] = lambda _batch: None
        self.retry_after = 0.0
        self.code: Callable[[Message], str] = lambda _message: ""  # of a refusal; "": its kind

    def __enter__(self) -> "ListChannel":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, batch: Batch) -> list[Result]:
        self.before(batch)
        self.requests.append(batch)
        results: list[Result] = []
        for message in batch.messages:
            kind = self.answers(message, batch.attempt)
            if kind in (Kind.ACCEPTED, Kind.NO_ANSWER):
                self.processed.append((message.message_no, batch.attempt))
            provider_id = f"id-{message.message_no}-{batch.attempt}" if kind == Kind.ACCEPTED else ""
            code = "" if kind == Kind.ACCEPTED else self.code(message) or kind.value
            results.append(Result(message.message_no, kind, code, provider_id, self.retry_after))
        self.after(batch)
        return results

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        found: list[Lookup] = []
        for doubt in doubts:
            key = doubt.message.message_no, doubt.batch.attempt
            sid = f"id-{key[0]}-{key[1]}"
            is_there = key in self.processed and sid not in bound
            found.append(Lookup(*key, Finding.FOUND if is_there else Finding.ABSENT, sid if is_there else ""))
        return found


def plan_run(engine: sa.Engine, lake: Lake, messages: int, batch_size: int, **columns: Any) -> None:
    """Messages 0..n-1 in batches of `batch_size`, planned; `columns` replace columns of the messages."""
    numbers = list(range(messages))
    frame = pl.DataFrame(
        {
            "message_no": numbers,
            "batch_no": [number // batch_size for number in numbers],
            "message_id": [f"{number:024x}" for number in numbers],
            "contact_id": [f"{number + 4096:024x}" for number in numbers],
            "address": [f"user{number}@example.com" for number in numbers],
            "variant": ["plain"] * messages,
            "locale": ["en"] * messages,
            "send_at": [NOW] * messages,
            "fragments": [[f"Ann{number}", f"<b>{number}</b>"] for number in numbers],
            "sms_parts": [None] * messages,
        }
        | columns,
        schema_overrides={
            "message_no": pl.Int32,
            "batch_no": pl.Int32,
            "sms_parts": pl.Int16,
            "send_at": pl.Datetime("us", "UTC"),
        },
    )
    lake.write(frame, "messages", RUN)
    parts = [("subject", ["Hello ", "!"]), ("html", ["<p>", "</p>"])]
    skeletons = [("plain", "en", "spring", "0" * 24, part, len(constants) - 1, constants) for part, constants in parts]
    names = ["variant", "locale", "template", "template_hash", "part", "slots", "constants"]
    lake.write(pl.DataFrame(skeletons, schema=names, orient="row"), "skeletons", RUN)
    audience = frame.select(pl.col("contact_id").unique(maintain_order=True), status=pl.lit("planned"))
    lake.write(audience, "audience", RUN)
    with writing(engine) as connection:
        connection.execute(
            sa.insert(runs).values(
                run_id=RUN,
                campaign="spring-sale",
                version=1,
                as_of=NOW,
                state="running",
                requested_by="test",
                created_at=NOW,
            )
        )
        connection.execute(
            sa.insert(campaign_versions).values(
                campaign="spring-sale", version=1, hash="0" * 24, definition={}, applied_at=NOW
            )
        )
        ledger.record_plan(
            connection,
            RUN,
            messages=messages,
            batches=frame["batch_no"].n_unique(),
            content_hash=BatchFile(lake, RUN).content_hash(),
            at=NOW,
        )


@pytest.fixture
def db(tmp_path: Any) -> Any:
    """A migrated SQLite database."""
    engine = sqlite_database(tmp_path / "ledger.db")
    yield engine
    engine.dispose()


@pytest.fixture
def channel() -> ListChannel:
    return ListChannel()


@pytest.fixture
def plan(db: sa.Engine, lake: Lake) -> Callable[..., None]:
    return lambda messages, batch_size, **columns: plan_run(db, lake, messages, batch_size, **columns)


@pytest.fixture(scope="session")
def make_channel() -> type[ListChannel]:
    return ListChannel


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., None]:
    return plan_run


@pytest.fixture(scope="session")
def kinds_by_outcome() -> dict[Outcome, list[Kind]]:
    found: dict[Outcome, list[Kind]] = {}
    for kind, verdict in VERDICTS.items():
        found.setdefault(verdict.outcome, []).append(kind)
    return found
