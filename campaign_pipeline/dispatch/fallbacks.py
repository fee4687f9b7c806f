"""Other channels for those whom the first one certainly did not reach: WhatsApp, then SMS, then e-mail.

The messages of all channels are rendered and planned together; those of later steps stand by. A row of attempt 0 in the
ledger calls one up (not_sent: it may be sent) or ends it (not_needed); the first such row counts. It is called up only
when the message of the step before is known not to have arrived, never while that one is in doubt: no contact gets two.
Each of them is a batch of its own, so that no claim can be about one that was not called up.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import twilio_codes
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.states import STANDBY, states

FALLS_BACK = frozenset(
    {
        Kind.NO_WHATSAPP,
        Kind.SESSION_CLOSED,
        Kind.META_CAP,
        Kind.META_LIMIT,
        Kind.HARD_ADDRESS,
        Kind.HARD_PAIR,
        Kind.BAD_RECIPIENT,
        Kind.SOFT,
    }
)
"""Why another channel is tried: this one cannot reach the contact. Not because the contact wants silence, nor because
somebody took the message for unwanted."""

OWN_CODES = {"session_closed": Kind.SESSION_CLOSED, "whatsapp_us_marketing": Kind.META_CAP}
"""Codes of our own rules, by what a provider would have said."""

CLASSES = {"hard": Kind.HARD_ADDRESS, "soft": Kind.SOFT}
"""The words of events for kinds; any other kind has its own name there."""

_ENDS = frozenset(
    outcome.value
    for outcome in (
        *(Outcome.REJECTED, Outcome.SUPPRESSED, Outcome.EXPIRED),
        *(Outcome.CANCELLED, Outcome.UNKNOWN, Outcome.NOT_NEEDED),
    )
)


class Advanced(NamedTuple):
    called: int  # messages that may be sent now
    ended: int  # messages that never will be


def advance(
    engine: sa.Engine,
    lake: Lake,
    run_id: str,
    *,
    now: datetime,
    until: datetime,
    failed: Mapping[str, str] | None = None,
    reached: Collection[str] = (),
) -> Advanced:
    """Call up or end what stands by, as far as it can be said now. Calling it again, or twice at once, does no harm.

    `failed`: message_id -> reason (class:code) of an event that says that it was not delivered. `reached`: ids of
    messages that were delivered. After `until` nothing is called up any more.
    """
    file = BatchFile(lake, run_id)
    if not file.has_fallbacks:
        return Advanced(0, 0)
    index = file.index()
    with reading(engine) as connection:
        where = states(index, ledger.read_ledger(connection, run_id))
    known = (
        index.select("message_no", "message_id", "contact_id", "step")
        .join(where.select("message_no", "state", "code"), on="message_no")
        .sort("contact_id", "step")  # a channel that could never reach the contact has no message
        .with_columns(
            pl.col(name).shift(1).over("contact_id").alias(f"{name}_before") for name in ("message_id", "state", "code")
        )
    )
    waiting = known.filter(pl.col("state") == STANDBY).sort("message_no")
    rows = [
        OutcomeRow(run_id, message_no, 0, Source.POLICY, outcome, code, "", now)
        for message_no, message_before, state, code in waiting.select(
            "message_no", "message_id_before", "state_before", "code_before"
        ).iter_rows()
        for outcome, code in [_decide(state, code, (failed or {}).get(message_before), message_before in reached)]
        for outcome, code in [_in_time(outcome, code, state, now > until)]
        if outcome is not None
    ]
    if not rows:
        return Advanced(0, 0)
    with writing(engine) as connection:
        ledger.append(connection, rows)
        if any(row.outcome is Outcome.NOT_SENT for row in rows):  # there is something to send at once
            connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(next_wave_at=None))
    called = sum(row.outcome is Outcome.NOT_SENT for row in rows)
    return Advanced(called, len(rows) - called)


def _decide(state: str, code: str, failure: str | None, reached: bool) -> tuple[Outcome | None, str]:
    """What becomes of a message, by what is known of the one before; None: nothing yet."""
    if state in (Outcome.REJECTED, Outcome.SUPPRESSED):
        return (Outcome.NOT_SENT if falls_back(code) else Outcome.NOT_NEEDED), f"after:{code}"
    if state in _ENDS:
        return Outcome.NOT_NEEDED, f"after:{state}"
    if state == Outcome.ACCEPTED and reached:
        return Outcome.NOT_NEEDED, "delivered"
    if state == Outcome.ACCEPTED and failure is not None:
        name, _, number = failure.partition(":")
        return (Outcome.NOT_SENT if _kind(name) in FALLS_BACK else Outcome.NOT_NEEDED), f"after:{number or name}"
    return None, ""


def _in_time(outcome: Outcome | None, code: str, state: str, too_late: bool) -> tuple[Outcome | None, str]:
    if too_late and (outcome is Outcome.NOT_SENT or (outcome is None and state == Outcome.ACCEPTED)):
        return Outcome.NOT_NEEDED, "window_passed"
    return outcome, code


def falls_back(code: str) -> bool:
    """Whether another channel is tried after a refusal with this code."""
    number = int(code) if code.isascii() and code.isdigit() else None
    kind = OWN_CODES.get(code) or (twilio_codes.CODES.get(number) if number is not None else None) or _kind(code)
    return kind in FALLS_BACK


def _kind(name: str) -> Kind | None:
    if name in CLASSES:
        return CLASSES[name]
    return Kind(name) if name in set(Kind) else None
