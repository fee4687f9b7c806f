"""The doubts of a run: messages of which nobody knows whether the provider took them, and what comes next for each.

A doubt is asked about at once if its answer is known to be lost, again when its claim is `settling` old, then whenever
it has become twice as old, and once more when the campaign's window ends. Then it is decided (decide.py), unless an
answer, an event or a person has settled it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import lookups
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Capabilities
from campaign_pipeline.dispatch.ledger import UTC_TIME, Ledger, Source
from campaign_pipeline.dispatch.states import SETTLING, is_repeated, states

LOOKUPS: dict[str, Any] = {
    "message_no": pl.Int32,
    "attempt": pl.Int32,
    "asked_at": UTC_TIME,
    "finding": pl.String,
}

DOUBTS: dict[str, Any] = {
    "message_no": pl.Int32,
    "batch_no": pl.Int32,
    "attempt": pl.Int32,
    "message_id": pl.String,
    "contact_id": pl.String,
    "channel": pl.String,  # null: that of the campaign
    "state": pl.String,  # in_doubt, or unknown: given up
    "code": pl.String,  # why nobody knows; "": claimed, and the worker wrote nothing more
    "repeat": pl.Boolean,  # it was sent once more, because an earlier attempt was in doubt
    "worker": pl.String,
    "claimed_at": UTC_TIME,
    "asked": pl.UInt32,  # how often the provider was asked about the attempt
    "finding": pl.String,  # what it answered last; null: never asked
    "asked_at": UTC_TIME,
    "decided_at": UTC_TIME,  # when on_doubt decides, or decided
    "look_at": UTC_TIME,  # when something is next done about it; null: nothing is, but an event may still settle it
}


HELD = timedelta(hours=1)
"""How often it is looked whether a paused campaign was resumed, so that its doubts can be decided."""


@dataclass(frozen=True)
class Rules:
    """What is done about doubts of one run."""

    settling: timedelta = SETTLING  # a claim without outcome that is younger is in flight, not in doubt
    window: timedelta = timedelta(days=3)  # since the claim; then on_doubt decides
    never_lose: bool = False  # then a message is sent once more; otherwise it stays unknown
    until: datetime | None = None  # after that nothing is sent any more, so that nothing is repeated either
    held: bool = False  # the campaign is paused: nothing is repeated until it is resumed
    ended: bool = False  # it was cancelled: nothing is repeated any more
    asks: frozenset[str] = frozenset()  # channels whose provider can be asked
    channel: str = ""  # of messages whose file is older than campaigns with several channels

    def asking(self, channels: Iterable[str]) -> "Rules":
        """The same, where the providers of these channels can be asked."""
        return replace(self, asks=frozenset(channels))

    def repeats(self, now: datetime) -> bool:
        return self.never_lose and not self.ended and (self.until is None or now <= self.until)

    def may_ask(self, capabilities: Capabilities, now: datetime) -> bool:
        """Whether a channel is asked: not where a request is repeated to ask, while nothing may be sent."""
        sends = not (self.held or self.ended) and (self.until is None or now <= self.until)
        return capabilities.lookup and (sends or not capabilities.idempotent)


def read_lookups(connection: sa.Connection, run_id: str) -> pl.DataFrame:
    """What was asked about the run's messages, columns LOOKUPS."""
    query = sa.select(*(lookups.c[name] for name in LOOKUPS)).where(lookups.c.run_id == run_id)
    rows = connection.execute(query).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=LOOKUPS, orient="row")


def read_doubts(
    engine: sa.Engine, lake: Lake, run_id: str, now: datetime, rules: Rules, *, given_up: bool = False
) -> pl.DataFrame:
    """The run's doubts as they are now; see `doubts_of`."""
    index = BatchFile(lake, run_id).index()
    with reading(engine) as connection:
        held, asked = ledger.read_ledger(connection, run_id), read_lookups(connection, run_id)
    return doubts_of(index, held, asked, now, rules, given_up=given_up)


def doubts_of(
    index: pl.DataFrame, held: Ledger, asked: pl.DataFrame, now: datetime, rules: Rules, *, given_up: bool = False
) -> pl.DataFrame:
    """Columns DOUBTS, sorted by message_no: a row a message in doubt, and with `given_up` also those left unknown.

    Messages in flight are none. `index` as BatchFile.index, `asked` as read_lookups.
    """
    wanted = [Outcome.IN_DOUBT.value, *([Outcome.UNKNOWN.value] if given_up else [])]
    where = states(index, held).filter(pl.col("state").is_in(wanted))
    last = (
        asked.sort("asked_at")
        .group_by("message_no", "attempt")
        .agg(pl.col("finding").last(), pl.col("asked_at").last(), asked=pl.len())
    )
    repeats = held.outcomes.filter(is_repeated())
    found = (
        where.join(index.select("message_no", "message_id", "contact_id", "channel"), on="message_no")
        .join(held.claims, on=["batch_no", "attempt"])
        .join(last, on=["message_no", "attempt"], how="left")
        .with_columns(
            pl.col("asked").fill_null(0),
            repeat=pl.col("message_no").is_in(repeats.get_column("message_no").implode()),
            channel=pl.col("channel").fill_null(rules.channel),
        )
    )
    young = pl.col("recorded_at").is_null() & (pl.col("claimed_at") > now - rules.settling)
    return (
        found.filter((pl.col("state") == Outcome.UNKNOWN.value) | ~young)
        .with_columns(decided_at=_decided_at(rules))
        .with_columns(look_at=_look_at(rules, now))
        .select(list(DOUBTS))
        .cast(pl.Schema(DOUBTS))  # pyright: ignore[reportArgumentType]  (a Schema is what it takes)
        .sort("message_no")
    )


def is_asked(rules: Rules, now: datetime) -> pl.Expr:
    """Of DOUBTS: the provider is to be asked now."""
    return _asks(rules) & (pl.col("look_at") <= now) & ~is_decided(rules, now)


def is_decided(rules: Rules, now: datetime) -> pl.Expr:
    """Of DOUBTS: the window is over, and the provider, if it can be asked, was asked once more."""
    asked = pl.col("asked_at").is_not_null() & (pl.col("asked_at") >= pl.col("decided_at"))
    return (pl.col("decided_at") <= now) & (asked | ~_asks(rules))


def _asks(rules: Rules) -> pl.Expr:
    return pl.col("channel").is_in(list(rules.asks))


def _decided_at(rules: Rules) -> pl.Expr:
    ends = pl.col("claimed_at") + max(rules.window, rules.settling)
    return pl.when(pl.col("state") == Outcome.UNKNOWN.value).then("recorded_at").otherwise(ends)


def _look_at(rules: Rules, now: datetime) -> pl.Expr:
    """When it is asked about again, or decided."""
    settled = pl.col("claimed_at") + rules.settling
    twice_as_old = pl.col("claimed_at") + 2 * (pl.col("asked_at") - pl.col("claimed_at"))
    again = (
        pl.when(pl.col("asked_at").is_not_null())
        .then(pl.max_horizontal(settled, twice_as_old))
        .otherwise(pl.coalesce("recorded_at", settled))  # that no answer came is known: it need not be waited for
    )
    moment = pl.when(_asks(rules)).then(pl.min_horizontal(again, "decided_at")).otherwise("decided_at")
    waits = pl.lit(rules.held and rules.repeats(now)) & ~pl.col("repeat") & is_decided(rules, now)
    in_doubt = pl.col("state") == Outcome.IN_DOUBT.value
    return pl.when(in_doubt).then(pl.when(waits).then(pl.lit(now + HELD)).otherwise(moment))


def next_look(engine: sa.Engine, lake: Lake, run_id: str, now: datetime, rules: Rules) -> datetime | None:
    """When something is to be done about the run's doubts, or a claim becomes one; None: there is nothing to do."""
    index = BatchFile(lake, run_id).index()
    with reading(engine) as connection:
        held, asked = ledger.read_ledger(connection, run_id), read_lookups(connection, run_id)
    in_doubt = states(index, held).filter(pl.col("state") == Outcome.IN_DOUBT.value)
    if not in_doubt.height:
        return None
    doubts = doubts_of(index, held, asked, now, rules)
    in_flight = in_doubt.join(doubts, on="message_no", how="anti").join(held.claims, on=["batch_no", "attempt"])
    moments = pl.concat([doubts.get_column("look_at"), in_flight.get_column("claimed_at") + rules.settling])
    return moments.min()  # pyright: ignore[reportReturnType]  (a column of moments)


def resolved_in(held: Ledger) -> pl.DataFrame:
    """how (String), messages (UInt32): what of the run's doubts was resolved or decided, by what; largest first."""
    how = [
        ("proved by an event", pl.col("source") == Source.EVENT.value),
        ("shown by the provider", pl.col("source") == Source.LOOKUP.value),
        ("resolved by a person", pl.col("source") == Source.OPERATOR.value),
        ("sent once more", is_repeated()),
        ("left unknown", (pl.col("source") == Source.POLICY.value) & (pl.col("outcome") == Outcome.UNKNOWN.value)),
    ]
    named = pl.coalesce(*(pl.when(rule).then(pl.lit(name)) for name, rule in how))
    counted = held.outcomes.select("message_no", how=named).drop_nulls().group_by("how")
    return counted.agg(messages=pl.col("message_no").n_unique()).sort(["messages", "how"], descending=[True, False])
