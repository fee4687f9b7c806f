"""One message, months later: what exactly was sent, to where and when, what became of it; and the contact's choices."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.contacts.preferences import Preference, preferences_of
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.dispatch.ledger import read_ledger_of
from campaign_pipeline.dispatch.states import states
from campaign_pipeline.messages.links import MESSAGE_ID
from campaign_pipeline.messages.sent import SentMessage, find_run, read_message
from campaign_pipeline.operations.installation import Installation


@dataclass(frozen=True)
class MessageAccount:
    """`state`: planned, or a words.Outcome. `claimed_at`: when its last attempt began."""

    message: SentMessage
    channel: Channel
    state: str
    code: str
    provider_id: str
    attempts: int
    claimed_at: datetime | None


def message_account(installation: Installation, message_id: str, run_id: str | None = None) -> MessageAccount:
    """What was sent, and what became of it. NotFound, also if the contact was erased.

    Without `run_id` every run is asked, the newest first.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise InvalidInput(f"{message_id!r} is not a message id", "It has 24 digits and letters from a to f.")
    found = run_id or find_run(installation.lake, message_id)
    message = read_message(installation.lake, found, message_id) if found else None
    if message is None:
        raise NotFound(
            f"message {message_id} is not in {run_id or 'any run'}",
            "Message ids are in the lake's messages and delivery events; messages of erased contacts are gone.",
        )
    return _account(installation, message)


def _account(installation: Installation, message: SentMessage) -> MessageAccount:
    row = pl.DataFrame(
        {"message_no": [message.message_no], "batch_no": [message.batch_no]},
        schema={"message_no": pl.Int32, "batch_no": pl.Int32},
    )
    with reading(installation.engine) as connection:
        run = load_run(connection, message.run_id)
        held = read_ledger_of(connection, message.run_id, [message.batch_no], [message.message_no])
    state = states(row, held).row(0, named=True)
    times = {attempt: at for _, attempt, _, at in held.claims.iter_rows()}
    return MessageAccount(
        message,
        run.campaign.channel,
        state["state"],
        state["code"],
        state["provider_id"],
        state["attempt"],
        times.get(state["attempt"]),
    )


def message_preferences(installation: Installation, run_id: str, message_id: str) -> list[Preference]:
    """The choices of the contact of a message, as they are now: always of the message's own topic and channel.

    NotFound if the message or its contact is not here any more.
    """
    message = read_message(installation.lake, run_id, message_id)
    if message is None:
        raise NotFound(f"message {message_id} is not in {run_id}")
    with reading(installation.engine) as connection:
        known = sa.select(contacts.c.contact_id).where(contacts.c.contact_id == message.contact_id)
        if connection.execute(known).first() is None:
            raise NotFound(f"the contact of message {message_id} is not here")
        campaign = load_run(connection, run_id).campaign
        present = preferences_of(connection, message.contact_id)
    own = (campaign.purpose, campaign.channel)
    if own not in {(each.topic, each.channel) for each in present}:
        present.append(Preference(*own, ConsentState.WITHDRAWN))
    return sorted(present)
