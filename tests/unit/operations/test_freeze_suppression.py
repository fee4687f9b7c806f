"""The freeze and the gates leave out who is suppressed for the purpose of the campaign, and erased addresses."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.suppression import Suppression, suppress, suppress_erased
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import check_audience, freeze_audience
from campaign_pipeline.operations.snapshot import take_snapshot

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PEOPLE = ("ann", "bob", "cem", "dov", "eve", "fay")


def email(name: str) -> str:
    return f"{name}@example.com"


@pytest.fixture
def run_id(installation: Installation) -> str:
    """A run of a newsletter for PEOPLE, all of whom consented to it."""
    variants = [{"name": "plain", "weight": 1, "template": "plain"}]
    fields = {"campaign": "news", "channel": "email", "segment": "all", "purpose": "newsletter", "variants": variants}
    with writing(installation.engine) as connection:
        for name in PEOPLE:
            row = {"contact_id": name, "external_id": name, "email": email(name), "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            said = ConsentState.GRANTED
            record_consent(connection, name, Channel.EMAIL, said, source="form", at=AT, purpose="newsletter")
        apply_campaign(connection, Campaign.model_validate(fields), AT)
        run_id = request_run(connection, "news", AT, requested_by="cli", at=AT)
    installation.lake.write(pl.DataFrame({"contact_id": PEOPLE}), "segment_members", run_id)
    take_snapshot(installation)
    return run_id


def hold(installation: Installation, name: str, **fields: object) -> None:
    with writing(installation.engine) as connection:
        given = {"channel": Channel.EMAIL, "reason": SuppressionReason.MANUAL} | fields
        suppress(connection, [Suppression(address=email(name), source="op", recorded_at=utc_now(), **given)])


def test_suppression_is_asked_for_by_purpose_and_time(installation: Installation, run_id: str) -> None:
    now = utc_now()
    hold(installation, "ann", topic="newsletter")
    hold(installation, "bob", topic="marketing")
    hold(installation, "cem", channel="every")
    hold(installation, "dov", reason=SuppressionReason.SOFT_BOUNCE, expires_at=now + timedelta(days=1))
    hold(installation, "eve", reason=SuppressionReason.SOFT_BOUNCE, expires_at=now - timedelta(days=1))
    _, audience = freeze_audience(installation, run_id)
    found = {row["contact_id"]: (row["status"], row["reason"]) for row in audience.to_dicts()}
    assert found == {
        "ann": ("suppressed", "manual"),
        "bob": ("planned", ""),
        "cem": ("suppressed", "manual"),
        "dov": ("suppressed", "soft_bounce"),
        "eve": ("planned", ""),
        "fay": ("planned", ""),
    }


def test_an_erased_address_is_caught_at_the_freeze_and_after_it(installation: Installation, run_id: str) -> None:
    def erase(name: str) -> None:
        with writing(installation.engine) as connection:
            suppress_erased(connection, [(Channel.EMAIL, email(name))], installation.settings.link_secret, utc_now())

    erase("ann")
    run, audience = freeze_audience(installation, run_id)
    left_out = audience.filter(pl.col("status") != "planned")
    assert left_out.select("contact_id", "status", "reason").rows() == [("ann", "suppressed", "erased")]
    before = {gate.name: gate.found for gate in check_audience(installation, run, audience)}
    erase("bob")
    after = {gate.name: gate.found for gate in check_audience(installation, run, audience)}
    assert (before["nobody_suppressed"], after["nobody_suppressed"]) == (0, 1)
