"""A whole run by SMS across quiet hours: who is asleep waits for the morning, or gets nothing if that is too late."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.store import apply_sending_policy
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import contacts, outcomes, runs
from campaign_pipeline.core.words import Channel, ConsentState, RunState
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.sandbox.ground_truth import address_hash
from tests.rehearsal import AS_OF, LATER, Rehearsal, rehearsal

NOW = AS_OF + LATER  # Monday, 17:00 UTC
MORNING = NOW.replace(day=3, hour=4, minute=30)  # 10:00 in India
PHONES = {"noon": "+12125550100", "evening": "+447700900123", "night": "+919876543210"}
TEXTS = {
    "segments/everybody.yaml": "segment: everybody\nwhere: {trait: {field: external_id, is_set: true}}\n",
    "templates/text.yaml": "template: text\nchannel: sms\nbody: 'Hello. STOP to opt out'\n",
    **{
        f"campaigns/{name}.yaml": (
            f"campaign: {name}\nchannel: sms\nsegment: everybody\nsend_before: {send_before}\n"
            "variants: [{name: only, weight: 1, template: text}]\n"
        )
        for name, send_before in (("patient", "24h"), ("urgent", "6h"), ("awake", "24h"))
    },
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path) as world:
        for name, text in TEXTS.items():
            file = tmp_path / "definitions" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        apply_folder(world.installation, tmp_path / "definitions")
        with writing(world.installation.engine) as connection:
            for number, (name, phone) in enumerate(PHONES.items()):
                row = {"contact_id": f"{number:024x}", "external_id": name, "phone": phone, "attributes": {}}
                connection.execute(sa.insert(contacts).values(row | {"created_at": AS_OF, "updated_at": AS_OF}))
                said = {"source": "test", "at": AS_OF}
                record_consent(connection, row["contact_id"], Channel.SMS, ConsentState.GRANTED, **said)
        yield world


def stand_at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_CLOCK_OFFSET_SECONDS", str((moment - datetime.now(UTC)).total_seconds()))


def sent_to(world: Rehearsal, run_id: str) -> list[str]:
    """Names of those that the provider was told to send to."""
    names = {address_hash(phone): name for name, phone in PHONES.items()}
    return sorted(names[hashed] for hashed in world.sends(run_id)["to_hash"])


def shown(world: Rehearsal, run_id: str) -> dict[str, object]:
    """What the audience asset shows of the run, last."""
    key = dg.AssetKey("audience")
    records = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[run_id]), limit=1
    ).records
    materialization = records[0].asset_materialization
    assert materialization is not None
    return {name: value.value for name, value in materialization.metadata.items()}


def state(world: Rehearsal, run_id: str) -> tuple[str, datetime | None]:
    with reading(world.installation.engine) as connection:
        row = connection.execute(sa.select(runs.c.state, runs.c.next_wave_at).where(runs.c.run_id == run_id)).one()
    return row.state, row.next_wave_at


def test_who_is_asleep_is_sent_to_in_the_morning(world: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.run("patient", NOW)
    assert sent_to(world, run_id) == ["evening", "noon"]
    assert state(world, run_id) == (RunState.RUNNING, MORNING)
    audience = shown(world, run_id)
    assert (audience["delayed_by_quiet_hours"], audience["too_late_for_send_before"]) == (1, 0)
    assert str(audience["send_times"]).splitlines()[2:] == [
        "| 2026-03-02 17:00 UTC | 2 | 0 |",
        "| 2026-03-03 04:00 UTC | 1 | 1 |",
    ]
    stand_at(MORNING - timedelta(hours=1), monkeypatch)
    world.run("patient", NOW)
    assert len(sent_to(world, run_id)) == 2
    stand_at(MORNING, monkeypatch)
    world.run("patient", NOW)
    assert sent_to(world, run_id) == sorted(PHONES)
    assert state(world, run_id)[0] == RunState.COMPLETED
    messages = world.installation.lake.read("messages", run_id)
    assert messages["window"].to_list() == [
        "",
        "Mo-Su 08:00-21:00 @ America/New_York",
        "Mo-Su 10:00-21:00 @ Asia/Calcutta",
    ]


def test_whose_morning_comes_after_the_deadline_gets_nothing(world: Rehearsal) -> None:
    run_id = world.run("urgent", NOW)
    assert sent_to(world, run_id) == ["evening", "noon"]
    assert world.account(run_id).messages == {"accepted": 2, "expired": 1}
    assert state(world, run_id)[0] == RunState.COMPLETED
    audience = shown(world, run_id)
    assert (audience["delayed_by_quiet_hours"], audience["too_late_for_send_before"]) == (0, 1)
    with reading(world.installation.engine) as connection:
        expired = sa.select(outcomes.c.code).where(outcomes.c.outcome == "expired")
        assert connection.execute(expired).scalars().all() == ["quiet_hours"]


def test_a_team_that_keeps_no_quiet_hours_by_sms_sends_at_once(world: Rehearsal) -> None:
    policy = SendingPolicy.model_validate({"quiet_hours": {"channels": ["whatsapp"]}})
    with writing(world.installation.engine) as connection:
        apply_sending_policy(connection, policy, NOW)
    run_id = world.run("awake", NOW)
    assert sent_to(world, run_id) == sorted(PHONES)
    assert world.installation.lake.read("audience", run_id)["window"].unique().to_list() == [""]
    assert world.installation.lake.read("audience", run_id).filter(pl.col("send_at") != NOW).is_empty()
