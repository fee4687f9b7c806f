"""Double opt-in links that were followed: consent that is pending becomes granted."""

from collections.abc import Iterable

import sqlalchemy as sa

from campaign_pipeline.contacts.opt_in import Confirmation, confirm_consent
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.events.record import Record


def apply_confirmations(connection: sa.Connection, records: Iterable[tuple[int, Record]]) -> int:
    """How many consents became granted. A repeated confirmation does nothing; other records are passed over."""
    granted = 0
    for _, record in records:
        if (record.provider, record.kind) != ("own", "confirm"):
            continue
        try:
            contact_id, consent_id = named_consent(record)
        except InvalidInput:
            continue  # is set aside with the other records that cannot be read
        evidence = {"ip": record.query["ip"]} if record.query.get("ip") else {}
        done = confirm_consent(connection, contact_id, consent_id, at=record.received_at, evidence=evidence)
        granted += done is Confirmation.GRANTED
    return granted


def named_consent(record: Record) -> tuple[str, int]:
    """(contact_id, consent_id) that the link named."""
    contact_id, consent_id = record.query.get("contact_id", ""), record.query.get("consent_id", "")
    if not contact_id or not (consent_id.isascii() and consent_id.isdigit()):
        raise InvalidInput("the confirmation names no consent")
    return contact_id, int(consent_id)
