"""A campaign that demands fresh contacts is not planned from a snapshot that is older."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.snapshot import snapshot_age
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import GateFailed
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.runs import check_audience, freeze_audience, plan_dispatch
from campaign_pipeline.operations.snapshot import take_snapshot

HOUR = 3600


@contextmanager
def hours_later(installation: Installation, hours: float) -> Iterator[Installation]:
    """The same installation, at another time."""
    settings = installation.settings.model_copy(update={"clock_offset_seconds": hours * HOUR})
    settings.__dict__.pop("clock", None)  # it is worked out once
    later = Installation(settings)
    yield later
    later.engine.dispose()


@pytest.fixture
def run_id(installation: Installation, folder: Path) -> str:
    campaign = folder / "campaigns" / "spring-sale.yaml"
    campaign.write_text(campaign.read_text() + "snapshot_max_age: 2h\n")
    apply_folder(installation, folder)
    now = installation.clock()
    row = {"contact_id": "c", "external_id": "x", "attributes": {}, "email": "user@people.test"}
    with writing(installation.engine) as connection:
        connection.execute(sa.insert(contacts), row | {"created_at": now, "updated_at": now})
        record_consent(connection, "c", Channel.EMAIL, ConsentState.GRANTED, source="test", at=now)
        run_id = request_run(connection, "spring-sale", now.replace(microsecond=0), requested_by="test", at=now)
    freeze(installation, run_id)
    return run_id


def freeze(installation: Installation, run_id: str) -> None:
    snapshot = take_snapshot(installation).frame
    installation.lake.write(snapshot.select("contact_id"), "segment_members", run_id)
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)


def is_fresh(installation: Installation, run_id: str) -> bool:
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    gates = check_audience(installation, run, installation.lake.read("audience", run_id))
    (found,) = [gate.passed for gate in gates if gate.name == "snapshot_fresh"]
    return found


def test_old_contacts_are_not_planned_and_new_ones_are(installation: Installation, run_id: str) -> None:
    with hours_later(installation, 1.5) as later:
        assert is_fresh(later, run_id)
    with hours_later(installation, 3) as later:
        assert not is_fresh(later, run_id)
        with pytest.raises(GateFailed, match=r"snapshot_fresh: .* as they were 3 h ago; snapshot_max_age is 2 h"):
            plan_dispatch(later, run_id)
        take_snapshot(later)  # for another campaign: this audience is as old as it was
        assert snapshot_age(later.lake, later.clock()).total_seconds() < HOUR
        assert not is_fresh(later, run_id)
        freeze(later, run_id)
        plan_dispatch(later, run_id)
    with hours_later(installation, 9) as much_later:
        assert is_fresh(much_later, run_id)  # what was planned in time may go on
        plan_dispatch(much_later, run_id)
