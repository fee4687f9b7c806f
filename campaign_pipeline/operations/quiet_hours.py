"""The quiet hours of one contact, for people who ask why it is sent to when it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaign_pipeline.campaigns.places import place_of
from campaign_pipeline.campaigns.quiet_hours import Rule, window_of
from campaign_pipeline.campaigns.send_times import place_columns
from campaign_pipeline.campaigns.store import load_sending_policy
from campaign_pipeline.campaigns.windows import next_allowed
from campaign_pipeline.contacts.identify import identify_one
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.snapshot import take_snapshot


@dataclass(frozen=True)
class ContactHours:
    contact_id: str
    rules: tuple[str, ...]  # names of those that may hold for it
    window: str  # as windows.py reads it; "": any time
    next_allowed: datetime | None  # from the moment in question on; None: never


def rules_in_force(installation: Installation, channel: Channel, purpose: str, at: datetime) -> Sequence[Rule]:
    """The rules that messages of the channel and purpose keep at `at`, the team's own among them."""
    with reading(installation.engine) as connection:
        return load_sending_policy(connection).quiet_hours.in_force(channel, purpose, at.date())


def hours_of(installation: Installation, contact: str, channel: Channel, purpose: str, at: datetime) -> ContactHours:
    """What holds for `contact` (its id, or the id in the user's system), as it is now."""
    rules = rules_in_force(installation, channel, purpose, at)
    with reading(installation.engine) as connection:
        contact_id = identify_one(connection, contact)
    row = take_snapshot(installation).frame.filter(pl.col("contact_id") == contact_id)
    place = place_of(*row.select(**place_columns(row)).row(0), otherwise="UTC")
    window = window_of(place, rules, at)
    names = tuple(rule.rule for rule in rules if rule.holds_for(place))
    return ContactHours(contact_id, names, window, next_allowed(window, at))
