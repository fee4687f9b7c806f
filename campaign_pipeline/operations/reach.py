"""Who may be sent to now, as a run's freeze, its gates and its workers ask it."""

from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.caps import applying, at_cap, says
from campaign_pipeline.campaigns.store import Run, load_sending_policy
from campaign_pipeline.contacts.suppression import suppressed_among
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.installation import Installation


def consented_for(connection: sa.Connection, installation: Installation, channel: Channel, purpose: str) -> pl.Series:
    """Ids of the contacts whose newest consent for channel and purpose is granted."""
    return installation.granted_ids(connection, channel, purpose)


def suppressed_for(
    connection: sa.Connection,
    installation: Installation,
    run: Run,
    addresses: pl.Series,
    channel: Channel | None = None,
) -> pl.DataFrame:
    """(address, reason): what is suppressed now for the run's purpose, and the erased of `addresses`.

    `channel`: that of a fallback; without it the campaign's own.
    """
    return suppressed_among(
        connection,
        channel or run.campaign.channel,
        addresses,
        topic=run.campaign.purpose,
        at=installation.clock(),
        secret=installation.settings.link_secret,
    )


def cap_reached(connection: sa.Connection, contact_id: str, channel: Channel, purpose: str, now: datetime) -> str:
    """The frequency cap that allows the contact no further message now, such as `3 within 7d`; "" if none does."""
    caps = applying(load_sending_policy(connection).caps, channel, purpose)
    found = at_cap(connection, caps, now, among=[contact_id]).get(contact_id)
    return says(found) if found else ""
