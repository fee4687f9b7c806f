"""The freeze leaves out who got enough lately, by the policy in force; and numbers that WhatsApp does not take."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.store import apply_campaign, apply_sending_policy, load_run, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import contacted, contacts
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.dispatch.guards.caps import UnderCaps
from campaign_pipeline.dispatch.guards.session import InSession
from campaign_pipeline.dispatch.guards.us_marketing import NoMarketingToUs
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import cap_reached
from campaign_pipeline.operations.runs import freeze_audience
from campaign_pipeline.operations.sending import guards_of
from campaign_pipeline.operations.snapshot import take_snapshot

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PHONES = {"ann": "+12125550100", "bob": "+14165550100", "cem": "+4915112345678"}
APPROVED = {"content_sid": "HX" + "0" * 32}
FREE = {"body": "Hi"}


def run_of(installation: Installation, channel: Channel, texts: dict[str, str], **fields: object) -> str:
    """A run of `channel` to three contacts who consented to it; its template has `texts`."""
    variants = [{"name": "plain", "weight": 1, "template": "plain"}]
    given = {"campaign": "offers", "channel": channel, "segment": "all", "variants": variants} | fields
    campaign = Campaign.model_validate(given)
    with writing(installation.engine) as connection:
        for name, phone in PHONES.items():
            row = {"contact_id": name, "external_id": name, "phone": phone, "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            said = ConsentState.GRANTED
            record_consent(connection, name, channel, said, source="form", at=AT, purpose=campaign.purpose)
        apply_template(connection, Template.model_validate({"template": "plain", "channel": channel} | texts), AT)
        apply_campaign(connection, campaign, AT)
        run_id = request_run(connection, "offers", AT, requested_by="cli", at=AT)
    installation.lake.write(pl.DataFrame({"contact_id": list(PHONES)}), "segment_members", run_id)
    take_snapshot(installation)
    return run_id


def frozen(installation: Installation, run_id: str) -> dict[str, tuple[str, str]]:
    _, audience = freeze_audience(installation, run_id)
    return {row["contact_id"]: (row["status"], row["reason"]) for row in audience.to_dicts()}


def policy(installation: Installation, *caps: dict[str, object]) -> None:
    with writing(installation.engine) as connection:
        apply_sending_policy(connection, SendingPolicy.model_validate({"caps": caps}), AT)


def wrote_to(installation: Installation, who: str, runs: int) -> None:
    given = {"contact_id": who, "message_no": 0, "batch_no": 0, "attempt": 1, "channel": "sms", "purpose": "marketing"}
    at = utc_now() - timedelta(days=1)
    rows = [given | {"run_id": f"other{n}--20260301t090000z", "at": at} for n in range(runs)]
    with writing(installation.engine) as connection:
        connection.execute(sa.insert(contacted), rows)


def test_the_policy_in_force_says_who_is_capped(installation: Installation) -> None:
    run_id = run_of(installation, Channel.SMS, FREE)
    wrote_to(installation, "ann", 3)
    wrote_to(installation, "bob", 2)
    policy(installation, {"at_most": 3, "within": "7d"}, {"at_most": 1, "within": "7d", "channel": "email"})
    assert frozen(installation, run_id) == {
        "ann": ("capped", "3 within 7d"),
        "bob": ("planned", ""),
        "cem": ("planned", ""),
    }
    with reading(installation.engine) as connection:
        now = utc_now()
        assert cap_reached(connection, "ann", Channel.SMS, "marketing", now) == "3 within 7d"
        assert cap_reached(connection, "bob", Channel.SMS, "marketing", now) == ""
    policy(installation)
    assert frozen(installation, run_id)["ann"] == ("planned", "")


@pytest.mark.parametrize(
    ("texts", "fields", "ann"),
    [
        (APPROVED, {}, ("suppressed", "whatsapp_us_marketing")),
        (APPROVED, {"purpose": "orders"}, ("planned", "")),
        (FREE, {}, ("planned", "")),  # an answer to the contact, if at all
        (APPROVED, {"fallback": [{"channel": "sms", "templates": {"plain": "plain"}}]}, ("planned", "")),
    ],
)
def test_no_marketing_templates_to_numbers_of_the_united_states(
    installation: Installation, texts: dict[str, str], fields: dict[str, object], ann: tuple[str, str]
) -> None:
    run_id = run_of(installation, Channel.WHATSAPP, texts, **fields)
    assert frozen(installation, run_id) == {"ann": ann, "bob": ("planned", ""), "cem": ("planned", "")}


def test_a_run_has_the_guards_that_it_needs(installation: Installation) -> None:
    run_id = run_of(installation, Channel.WHATSAPP, APPROVED)
    _, audience = freeze_audience(installation, run_id)
    rows = audience.select("contact_id", "address", channel=pl.lit("whatsapp"))
    installation.lake.write(rows, "messages", run_id)
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)

    def kinds(channel: Channel) -> set[type]:
        return {type(guard) for guard in guards_of(installation, run, channel)}

    assert {NoMarketingToUs, InSession} <= kinds(Channel.WHATSAPP)
    assert not {NoMarketingToUs, InSession, UnderCaps} & kinds(Channel.SMS)
    policy(installation, {"at_most": 1, "within": "7d", "channel": "whatsapp"})
    assert UnderCaps in kinds(Channel.WHATSAPP)
    assert UnderCaps not in kinds(Channel.SMS)
