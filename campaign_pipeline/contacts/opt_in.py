"""Double opt-in: consent is pending until the contact follows a signed link that was sent to the address.

A token is `<contact_id>.<consent_id>.<signature>`; consent_id is that of the pending entry, so that a link confirms
what it was made for and nothing that was asked later. It never expires, but a withdrawal ends it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.consent import MARKETING, record_consent
from campaign_pipeline.contacts.suppression import ADDRESS_OF, Suppression, holding, lift
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.signing import fits, sign
from campaign_pipeline.core.tables import consents, contacts, suppressions
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason

CONFIRMED_BY_LINK = "confirmation"
"""Source of consent that was confirmed."""

_WHAT_FOR = "confirm"
_CONTACT_ID = re.compile(r"[0-9a-f]{24}")
_CONSENT_ID = re.compile(r"[1-9][0-9]{0,17}")


class Confirmation(StrEnum):
    """What following a link did."""

    GRANTED = "granted"  # consent is granted from now on
    WAS_GRANTED = "was_granted"  # it was confirmed before: nothing changed
    WITHDRAWN_SINCE = "withdrawn_since"  # withdrawn after the link was made: it must be asked for anew
    UNKNOWN = "unknown"  # what was asked is not here any more: the contact was erased


@dataclass(frozen=True)
class Asked:
    """`consent_id` of the pending entry; None: consent is granted already, so that there is nothing to ask."""

    contact_id: str
    consent_id: int | None

    def url(self, public_url: str, secret: SecretStr) -> str | None:
        """The link to send to the contact's address on the channel, and nowhere else."""
        if self.consent_id is None:
            return None
        return f"{public_url.rstrip('/')}/c/{confirmation_token(secret, self.contact_id, self.consent_id)}"


def ask_consent(
    connection: sa.Connection,
    contact_id: str,
    channel: Channel,
    *,
    source: str,
    at: datetime,
    purpose: str = MARKETING,
    evidence: Mapping[str, Any] | None = None,
) -> Asked:
    """Record that consent is asked for: pending, unless it is granted already."""
    newest = _history(contact_id, channel.value, purpose).limit(1)
    known = connection.execute(newest).one_or_none()
    if known is not None and known.state == ConsentState.GRANTED:
        return Asked(contact_id, None)
    said = ConsentState.PENDING
    entry = record_consent(
        connection, contact_id, channel, said, source=source, at=at, purpose=purpose, evidence=evidence
    )
    return Asked(contact_id, entry)


def confirmation_token(secret: SecretStr, contact_id: str, consent_id: int) -> str:
    return f"{contact_id}.{consent_id}.{sign(secret, _WHAT_FOR, contact_id, str(consent_id))}"


def read_confirmation_token(secret: SecretStr, token: str) -> tuple[str, int]:
    """(contact_id, consent_id) of a token that we signed; InvalidInput for any other."""
    contact_id, _, rest = token.partition(".")
    consent_id, _, signature = rest.partition(".")
    named = _CONTACT_ID.fullmatch(contact_id) and _CONSENT_ID.fullmatch(consent_id)
    if named and fits(signature, secret, _WHAT_FOR, contact_id, consent_id):
        return contact_id, int(consent_id)
    raise InvalidInput("this is not a confirmation link of ours", "The link may have been cut: copy it whole.")


def confirm_consent(
    connection: sa.Connection,
    contact_id: str,
    consent_id: int,
    *,
    at: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> Confirmation:
    """Grant what was asked for with entry `consent_id`, unless it was withdrawn in between; at the time of the click.

    The contact asked for it at this address, so that an earlier use of an unsubscribe link on the channel is lifted;
    opt-outs by STOP, complaints and bounces are not.
    """
    query = sa.select(consents).where(consents.c.consent_id == consent_id, consents.c.contact_id == contact_id)
    asked = connection.execute(query).one_or_none()
    if asked is None or asked.state != ConsentState.PENDING:
        return Confirmation.UNKNOWN
    at = max(at, asked.recorded_at)  # the receiver's clock may be behind
    since = sa.or_(
        consents.c.recorded_at > asked.recorded_at,
        sa.and_(consents.c.recorded_at == asked.recorded_at, consents.c.consent_id > consent_id),
    )
    history = _history(contact_id, asked.channel, asked.purpose).where(since, consents.c.recorded_at <= at)
    said = [entry.state for entry in connection.execute(history)]
    if ConsentState.WITHDRAWN in said:
        return Confirmation.WITHDRAWN_SINCE
    if ConsentState.GRANTED in said[:1]:
        return Confirmation.WAS_GRANTED
    record_consent(
        connection,
        contact_id,
        Channel(asked.channel),
        ConsentState.GRANTED,
        source=CONFIRMED_BY_LINK,
        at=at,
        purpose=asked.purpose,
        evidence={"confirms": consent_id} | dict(evidence or {}),
    )
    _lift_unsubscription(connection, contact_id, Channel(asked.channel), asked.recorded_at, consent_id, at)
    return Confirmation.GRANTED


def _lift_unsubscription(
    connection: sa.Connection, contact_id: str, channel: Channel, asked_at: datetime, consent_id: int, at: datetime
) -> None:
    of_contact = sa.select(ADDRESS_OF[channel]).where(contacts.c.contact_id == contact_id).scalar_subquery()
    held = holding(at, recorded_by=asked_at).where(
        suppressions.c.channel == channel.value,
        suppressions.c.address == of_contact,
        suppressions.c.reason == SuppressionReason.UNSUBSCRIBED.value,
    )
    topics = {(row.address, row.topic) for row in connection.execute(held)}
    source, reason = f"confirmation:{consent_id}", SuppressionReason.UNSUBSCRIBED
    lift(connection, [Suppression(channel, own, reason, source, at, topic) for own, topic in sorted(topics)])


def _history(contact_id: str, channel: str, purpose: str) -> sa.Select[Any]:
    """The entries of one contact, channel and purpose, newest first."""
    same = consents.c.contact_id == contact_id, consents.c.channel == channel, consents.c.purpose == purpose
    return sa.select(consents).where(*same).order_by(consents.c.recorded_at.desc(), consents.c.consent_id.desc())
