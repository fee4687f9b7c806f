"""Hand-made runs: an audience, its messages, the ledger's states and the events, as the lake has them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics.facts import build_message_facts
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS, STATES, Time
from campaign_pipeline.core.lake import Lake

RUN = "spring--20260302t090000z"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)

Event = Mapping[str, Any]


def event(message: str, kind: str, minutes: float = 0, **more: Any) -> dict[str, Any]:
    """One delivery event of `message`, `minutes` after the start."""
    row: dict[str, Any] = {
        "event_id": f"{message}-{kind}-{minutes}-{more}",
        "run_id": RUN,
        "message_id": message,
        "provider": "sendgrid",
        "channel": "email",
        "type": kind,
        "occurred_at": START + timedelta(minutes=minutes),
        "received_at": START + timedelta(minutes=minutes + 1),
        "provider_id": "",
        "reason": "",
        "url": None,
        "machine": False,
        "raw_type": kind,
    }
    return row | more


class Run:
    """A run in the lake: contacts c0, c1 ... with messages m0, m1 ... for those that are planned."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.states = pl.DataFrame(schema=STATES)

    def freeze(self, rows: Sequence[tuple[str, str, str | None]]) -> None:
        """`rows`: (status, reason, variant) of c0, c1 ..."""
        audience = pl.DataFrame(
            {
                "contact_id": [f"c{index}" for index in range(len(rows))],
                "status": [status for status, _, _ in rows],
                "reason": [reason for _, reason, _ in rows],
                "variant": [variant for _, _, variant in rows],
                "address": [f"person{index}@example.com" for index in range(len(rows))],
                "send_at": [START if status == "planned" else None for status, _, _ in rows],
                "contact": [{"first_name": "Ada", "email": f"person{index}@example.com"} for index in range(len(rows))],
            },
            schema_overrides={"send_at": Time, "variant": pl.String},
        )
        self.lake.write(audience, "audience", RUN)
        planned = [index for index, row in enumerate(rows) if row[0] == "planned"]
        messages = {
            "message_no": pl.Series(range(len(planned)), dtype=pl.Int32),
            "message_id": [f"m{index}" for index in planned],
            "contact_id": [f"c{index}" for index in planned],
            "address": [f"person{index}@example.com" for index in planned],
            "locale": ["en"] * len(planned),
            "sms_parts": pl.Series([None] * len(planned), dtype=pl.Int16),
        }
        texts = {"address": pl.String, "locale": pl.String}
        self.lake.write(pl.DataFrame(messages, schema_overrides=texts), "messages", RUN)

    def ledger(self, states: Sequence[str]) -> None:
        """The states of messages 0, 1 ...; recorded at the start."""
        rows = [(number, state, "", START) for number, state in enumerate(states)]
        self.states = pl.DataFrame(rows, schema=STATES, orient="row")

    def events(self, events: Sequence[Event], day: str = "2026-03-02") -> None:
        self.lake.write(pl.DataFrame(list(events), schema=DELIVERY_EVENTS), "delivery_events", day)

    def facts(self) -> pl.DataFrame:
        return build_message_facts(self.lake, RUN, self.states, channel="email")

    def fact(self, contact: str) -> dict[str, Any]:
        return self.facts().row(by_predicate=pl.col("contact_id") == contact, named=True)


@pytest.fixture
def run(lake: Lake) -> Run:
    return Run(lake)


@pytest.fixture
def new_event() -> Callable[..., dict[str, Any]]:
    return event


def _two_arms(run: Run, sizes: Mapping[str, tuple[int, int]]) -> pl.DataFrame:
    rows: list[tuple[str, str, str | None]] = []
    clicked: list[int] = []
    for variant, (units, clicks) in sizes.items():
        clicked += range(len(rows), len(rows) + clicks)
        rows += [("planned", "", variant)] * units
    run.freeze(rows)
    run.ledger(["accepted"] * len(rows))
    run.events(
        [event(f"m{index}", "delivered", 1) for index in range(len(rows))]
        + [event(f"m{index}", "clicked", 5) for index in clicked]
    )
    return run.facts()


@pytest.fixture
def tested_run(run: Run) -> Callable[[Mapping[str, tuple[int, int]]], pl.DataFrame]:
    """Facts of a run with {variant: (units, clicks)}, all delivered."""
    return lambda sizes: _two_arms(run, sizes)
