"""Asking what became of messages in doubt: at the provider, and in the events that it sends. Never by sending again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import comparable
from campaign_pipeline.core.database import insert_new, reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import batch_outcomes, claims, lookups, outcomes
from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Channel, Doubt, Finding, Lookup
from campaign_pipeline.dispatch.doubts import Rules, is_asked, read_doubts
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.dispatch.states import attempts, states

NEEDS_PROOF = frozenset({Outcome.IN_DOUBT.value, Outcome.UNKNOWN.value, *(outcome.value for outcome in RETRYABLE)})
"""What a proof changes of an attempt: what was thought not processed is not sent again either."""

ASKED_TOGETHER = 500
"""Doubts that are asked about before the answers are kept, so that a crash loses few of them."""

CLOCKS_DIFFER = timedelta(days=1)
"""Of workers' clocks: an id that was recorded so long before a claim cannot be that of its attempt."""


@dataclass(frozen=True)
class Settled:
    doubts: int  # messages that were in doubt, those in flight left aside
    found: int  # of these, the ones that the provider shows: now accepted
    asked: int = 0  # those that were due to be asked about


def settle_doubts(
    engine: sa.Engine,
    lake: Lake,
    run_id: str,
    channel: Channel,
    now: datetime,
    rules: Rules | None = None,
    unwanted: Callable[[], Collection[str]] = frozenset,
) -> Settled:
    """Ask the provider about the messages in doubt that are due: what it shows is accepted.

    That it shows nothing is kept, and proves nothing. Only doubts of the channel count, if the file says of which
    they are. `unwanted` gives the addresses that must not be sent to: where a request is repeated to ask, it might be
    the first that arrives.
    """
    rules = rules or Rules()
    asks = frozenset({channel.name.value} if rules.may_ask(channel.capabilities, now) else ())
    rules = replace(rules, asks=asks, channel=rules.channel or channel.name.value)
    doubts = read_doubts(engine, lake, run_id, now, rules).filter(pl.col("channel") == channel.name.value)
    due = doubts.filter(is_asked(rules, now))
    if not due.height:
        return Settled(doubts.height, 0)
    found = 0
    file = BatchFile(lake, run_id)
    left_alone = unwanted() if channel.capabilities.idempotent else frozenset[str]()
    for start in range(0, due.height, ASKED_TOGETHER):
        together = _doubts(file, due.slice(start, ASKED_TOGETHER), rules)
        found += _ask(engine, file, channel, together, left_alone, now)
    return Settled(doubts.height, found, due.height)


def _ask(
    engine: sa.Engine,
    file: BatchFile,
    channel: Channel,
    doubts: Sequence[Doubt],
    left_alone: Collection[str],
    now: datetime,
) -> int:
    """How many were found; the answers are kept together with what follows from them."""
    with reading(engine) as connection:
        bound = _bound(connection, min(doubt.claimed_at for doubt in doubts))
    asked = [doubt for doubt in doubts if not _is_among(channel, doubt.message.address, left_alone)]
    others = (doubt for doubt in doubts if _is_among(channel, doubt.message.address, left_alone))
    answers = channel.lookup(asked, bound) if asked else []
    answers += [Lookup(doubt.message.message_no, doubt.batch.attempt, Finding.INCONCLUSIVE) for doubt in others]
    found = [
        OutcomeRow(file.run_id, one.message_no, one.attempt, Source.LOOKUP, Outcome.ACCEPTED, "", one.provider_id, now)
        for one in answers
        if one.finding == Finding.FOUND
    ]
    with writing(engine) as connection:
        insert_new(connection, lookups, [_kept(file.run_id, one, now) for one in answers])
        ledger.append(connection, found)
    return len(found)


def _is_among(channel: Channel, address: str, addresses: Collection[str]) -> bool:
    return bool(addresses) and (address in addresses or comparable(channel.name, address) in addresses)


def awaiting_proof(connection: sa.Connection, run_ids: Collection[str]) -> set[str]:
    """Those of `run_ids` with an attempt that an event could still prove, or that has no outcome of its batch yet."""
    answered = sa.exists().where(
        *(batch_outcomes.c[name] == claims.c[name] for name in ("run_id", "batch_no", "attempt"))
    )
    open_ = [sa.exists().where(claims.c.run_id == sa.bindparam("run"), ~answered)]
    for table in (outcomes, batch_outcomes):
        thought = (table.c.source == Source.OPERATOR.value) & (table.c.outcome != Outcome.ACCEPTED.value)
        needs = table.c.outcome.in_(sorted(NEEDS_PROOF)) | thought
        open_.append(sa.exists().where(table.c.run_id == sa.bindparam("run"), needs))
    query = sa.select(sa.or_(*open_))
    return {run_id for run_id in run_ids if connection.execute(query, {"run": run_id}).scalar_one()}


def settle_by_events(engine: sa.Engine, lake: Lake, run_id: str, proofs: pl.DataFrame, now: datetime) -> int:
    """Accept the attempts that events prove to have been processed; how many that changed.

    `proofs`: message_id, provider_id (String), and attempt (Int) if the events carry it; any number of rows a message.
    Attempts that are accepted already, and ids that are not of this run, change nothing: it may be called again
    with the same events.
    """
    index = BatchFile(lake, run_id).index()
    messages = index.join(proofs.select("message_id").unique(), on="message_id", how="semi")
    if not messages.height:
        return 0
    with reading(engine) as connection:
        held = ledger.read_ledger_of(connection, run_id, messages["batch_no"].unique(), messages["message_no"])
    current = states(messages, held).select("message_no", current="attempt")
    proven = (
        _each_attempt(proofs)
        .join(messages.select("message_no", "message_id"), on="message_id")
        .join(current, on="message_no")
        .with_columns(attempt=pl.coalesce("attempt", "current"))
        # An event may name any attempt; only one that was claimed can be in the ledger.
        .join(attempts(messages, held), on=["message_no", "attempt"], suffix="_known")
        .filter(_needs_proof())
        .unique(["message_no", "attempt"], keep="first", maintain_order=True)
        .select("message_no", "attempt", pl.col("provider_id").fill_null(""))
    )
    rows = [
        OutcomeRow(run_id, message_no, attempt, Source.EVENT, Outcome.ACCEPTED, "", provider_id, now)
        for message_no, attempt, provider_id in proven.iter_rows()
    ]
    ledger.append_outcomes(engine, rows)
    return len(rows)


def _each_attempt(proofs: pl.DataFrame) -> pl.DataFrame:
    """The proofs that name an attempt, and of messages without such a one those that name none."""
    if "attempt" not in proofs.columns:
        proofs = proofs.with_columns(attempt=pl.lit(None))
    proofs = proofs.with_columns(pl.col("attempt").cast(pl.Int32))
    named = proofs.filter(pl.col("attempt").is_not_null())
    unnamed = proofs.filter(pl.col("attempt").is_null()).join(named, on="message_id", how="anti")
    return pl.concat([named, unnamed], how="diagonal").select("message_id", "provider_id", "attempt")


def _needs_proof() -> pl.Expr:
    """Of attempts: nothing is known, or it is only what a policy or a person thinks."""
    thought = (pl.col("source") == Source.OPERATOR.value) & (pl.col("outcome") != Outcome.ACCEPTED.value)
    return pl.col("outcome").is_null() | pl.col("outcome").is_in(list(NEEDS_PROOF)) | thought


def _kept(run_id: str, answer: Lookup, now: datetime) -> dict[str, object]:
    finding = {"asked_at": now, "finding": answer.finding.value}
    return {"run_id": run_id, "message_no": answer.message_no, "attempt": answer.attempt, **finding}


def _doubts(file: BatchFile, due: pl.DataFrame, rules: Rules) -> Sequence[Doubt]:
    rows = file.load(due.get_column("batch_no").unique().to_list())
    doubts: list[Doubt] = []
    for (batch_no, attempt, claimed_at), part in due.partition_by(
        "batch_no", "attempt", "claimed_at", as_dict=True
    ).items():
        batch = file.batch(rows, batch_no, attempt, part.get_column("message_no").to_list())
        doubts += [Doubt(batch, message, claimed_at, claimed_at + rules.settling) for message in batch.messages]
    return doubts


def _bound(connection: sa.Connection, claimed_at: datetime) -> frozenset[str]:
    """Provider ids that belong to a message already, of any run: those that claims from `claimed_at` on can meet."""
    since = claimed_at - CLOCKS_DIFFER
    ids = (
        sa.select(each.c.provider_id).where(each.c.provider_id != "", each.c.recorded_at >= since)
        for each in (outcomes, batch_outcomes)
    )
    return frozenset(connection.execute(sa.union(*ids)).scalars())
