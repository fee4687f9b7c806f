"""Which message an event is about, and whom that message went to: looked up for those few events that need it.

Replies name no message: they are given to the newest message to that address that was not refused. Unsubscriptions
name theirs, but neither address nor channel.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import batch_outcomes, campaign_versions, claims, outcomes, runs
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.covers import numbers_of
from campaign_pipeline.dispatch.ledger import NEVER_LOSE
from campaign_pipeline.events.event import Event

MessageKey = tuple[str, str]
"""(run_id, message_id)"""

_KEYS = 10_000  # bound in one query; SQLite takes 32,766
_MAY_HAVE_ARRIVED = frozenset({Outcome.ACCEPTED.value, Outcome.IN_DOUBT.value, Outcome.UNKNOWN.value})


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message went to: the contact, and the address as it was when the audience was frozen."""

    contact_id: str
    address: str


def attribute(engine: sa.Engine, lake: Lake, events: Sequence[Event]) -> dict[MessageKey, Recipient]:
    """Complete the events that lack message or channel, in place; the recipients of those with consequences."""
    inbound = [event for event in events if not event.message_id and event.raw_type == "inbound"]
    own = [event for event in events if event.provider == "own"]
    with reading(engine) as connection:
        channels = _channels(connection) if inbound or own else {}
        for event in own:
            event.channel = channels.get(event.run_id, event.channel)
        _attribute_replies(connection, lake, inbound, channels)
    return _recipients(lake, {(e.run_id, e.message_id) for e in events if e.message_id and _has_consequences(e)})


def _has_consequences(event: Event) -> bool:
    return bool(event.suppress or event.lifts) or event.raw_type == "preferences"


def _channels(connection: sa.Connection) -> dict[str, Channel]:
    """The channel of every run."""
    same_version = sa.and_(
        campaign_versions.c.campaign == runs.c.campaign, campaign_versions.c.version == runs.c.version
    )
    query = sa.select(runs.c.run_id, campaign_versions.c.definition).join(campaign_versions, same_version)
    return {row.run_id: Channel(row.definition["channel"]) for row in connection.execute(query)}


def _recipients(lake: Lake, wanted: Collection[MessageKey]) -> dict[MessageKey, Recipient]:
    by_run: defaultdict[str, list[str]] = defaultdict(list)
    for run_id, message_id in wanted:
        by_run[run_id].append(message_id)
    found: dict[MessageKey, Recipient] = {}
    for run_id, message_ids in by_run.items():
        rows = _messages(lake, run_id, "message_id", message_ids, ["message_id", "contact_id", "address"])
        found |= {(run_id, message_id): Recipient(contact, address) for message_id, contact, address in rows}
    return found


def _attribute_replies(
    connection: sa.Connection, lake: Lake, inbound: Sequence[Event], channels: dict[str, Channel]
) -> None:
    by_channel: defaultdict[Channel, list[Event]] = defaultdict(list)
    for event in inbound:
        by_channel[event.channel].append(event)
    for channel, replies in by_channel.items():
        addresses = {event.address for event in replies}
        sent = _sent_to(connection, lake, [run for run, its in channels.items() if its is channel], addresses)
        for event in replies:
            before = [(at, *key) for at, key in sent.get(event.address, []) if at <= event.received_at]
            if before:
                _, event.run_id, event.message_id = max(before)


def _sent_to(
    connection: sa.Connection, lake: Lake, run_ids: Iterable[str], addresses: Collection[str]
) -> dict[str, list[tuple[datetime, MessageKey]]]:
    """By address: when a message to it was claimed for sending, and which, for each that may have arrived."""
    sent: defaultdict[str, list[tuple[datetime, MessageKey]]] = defaultdict(list)
    columns = ["address", "message_no", "batch_no", "message_id"]
    for run_id in run_ids:
        rows = _messages(lake, run_id, "address", addresses, columns)
        if not rows:
            continue
        claimed = _claims(connection, run_id, {batch_no for _, _, batch_no, _ in rows})
        refused = _refusals(connection, run_id, {message_no: batch_no for _, message_no, batch_no, _ in rows})
        for address, message_no, batch_no, message_id in rows:
            for attempt, at, covers in claimed.get(batch_no, []):
                if (covers is None or message_no in covers) and (message_no, attempt) not in refused:
                    sent[address].append((at, (run_id, message_id)))
    return sent


def _claims(
    connection: sa.Connection, run_id: str, batch_nos: Collection[int]
) -> dict[int, list[tuple[int, datetime, frozenset[int] | None]]]:
    """By batch: (attempt, claimed_at, whom it covers; None: all).

    The claim's time counts, because a reply can be faster than the outcome.
    """
    found: defaultdict[int, list[tuple[int, datetime, frozenset[int] | None]]] = defaultdict(list)
    for some in _pieces(batch_nos):
        query = sa.select(claims).where(claims.c.run_id == run_id, claims.c.batch_no.in_(some))
        for row in connection.execute(query):
            covers = frozenset(numbers_of(row.covers)) if row.covers is not None else None
            found[row.batch_no].append((row.attempt, row.claimed_at, covers))
    return found


def _refusals(connection: sa.Connection, run_id: str, batch_of: Mapping[int, int]) -> set[tuple[int, int]]:
    """(message_no, attempt) of which the ledger knows that they reached nobody; `batch_of`: message_no -> batch_no."""
    said: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for some in _pieces(batch_of):
        query = sa.select(outcomes).where(outcomes.c.run_id == run_id, outcomes.c.message_no.in_(some))
        for row in connection.execute(query.where(outcomes.c.code != NEVER_LOSE)):  # that one knows nothing
            said[row.message_no, row.attempt].add(row.outcome)
    whole: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for some in _pieces(set(batch_of.values())):
        query = sa.select(batch_outcomes).where(batch_outcomes.c.run_id == run_id, batch_outcomes.c.batch_no.in_(some))
        for row in connection.execute(query):
            whole[row.batch_no].append((row.attempt, row.outcome))
    for message_no, batch_no in batch_of.items():
        for attempt, outcome in whole[batch_no]:
            if (message_no, attempt) not in said:  # a message's own row says more than that of its batch
                said[message_no, attempt].add(outcome)
    return {key for key, words in said.items() if not words & _MAY_HAVE_ARRIVED}


def _messages(lake: Lake, run_id: str, key: str, values: Collection[Any], columns: list[str]) -> list[tuple[Any, ...]]:
    """The rows of a run's messages whose `key` is among `values`; none when the run was not rendered here."""
    if not lake.exists("messages", run_id):
        return []
    wanted = pl.col(key).is_in(pl.Series(list(values), dtype=pl.String).implode())
    return pl.scan_parquet(lake.path("messages", run_id)).filter(wanted).select(columns).collect().rows()


def _pieces(values: Collection[int]) -> Iterable[list[int]]:
    listed = sorted(values)
    return (listed[start : start + _KEYS] for start in range(0, len(listed), _KEYS))
