"""kill -9 while the next part of a roll-out is decided, and several processes that decide at once: one decision."""

import signal
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import Run, apply_campaign, load_parts, load_run, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import contacts, rollout_parts, runs
from campaign_pipeline.core.words import Channel, ConsentState, RunState
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.rollouts import rollout_of
from campaign_pipeline.operations.runs import freeze_audience, plan_dispatch
from campaign_pipeline.operations.seeds import seed_lake, seeds_id
from campaign_pipeline.operations.segments import pick_members
from campaign_pipeline.operations.snapshot import take_snapshot
from tests.databases import initialised

AT = datetime(2024, 3, 2, 9, tzinfo=UTC)  # long ago: the roll-out has timed out
PEOPLE = sorted(ids.contact_id(f"person{n}") for n in range(200))

ADVANCE = """
import os, signal, sys
from sqlalchemy import event
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rollouts import advance

folder, run_id, die_after = sys.argv[1:]
installation = Installation(Settings(_env_file=None, data_dir=folder))

@event.listens_for(installation.engine, "after_cursor_execute")
def look(_connection, _cursor, statement, *_):
    if die_after and statement.startswith(die_after):
        os.kill(os.getpid(), signal.SIGKILL)

print(advance(installation, run_id)[1], flush=True)
if die_after:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def process(settings: Settings, run_id: str, die_after: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ADVANCE, str(settings.data_dir), run_id, die_after]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def plan(installation: Installation, run_id: str) -> pl.DataFrame:
    with reading(installation.engine) as connection:
        pick_members(installation, load_run(connection, run_id))
    _, audience = freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    plan_dispatch(installation, run_id)
    return audience


@pytest.fixture
def tested(settings: Settings) -> tuple[Installation, str]:
    """A roll-out whose first run has ended, and whose time to decide has come."""
    installation = initialised(settings)
    variants = [{"name": each, "weight": 1, "template": each} for each in "ab"]
    given = {"campaign": "sale", "channel": "email", "segment": "everybody", "variants": variants, "holdout": 10}
    given |= {"rollout": {"method": "winner", "on_timeout": "control"}, "seeds": ["team@example.com"]}
    with writing(installation.engine) as connection:
        for name in PEOPLE:
            row = {"contact_id": name, "external_id": name, "email": f"{name}@example.com", "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            record_consent(connection, name, Channel.EMAIL, ConsentState.GRANTED, source="form", at=AT)
        for name in "ab":
            texts = {"subject": name, "text": "x", "html": '<p><a href="{{ unsubscribe_url }}">x</a></p>'}
            apply_template(connection, Template.model_validate({"template": name, "channel": "email"} | texts), AT)
        apply_campaign(connection, Campaign.model_validate(given), AT)
        run_id = request_run(connection, "sale", AT, requested_by="test", at=AT)
    take_snapshot(installation)
    installation.lake.write(pl.DataFrame({"contact_id": PEOPLE}), "segment_members", run_id)
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    plan_dispatch(installation, run_id)
    with writing(installation.engine) as connection:
        move_run(connection, run_id, RunState.COMPLETED, actor="test", at=AT)
    return installation, run_id


def test_a_part_is_decided_once_whoever_is_killed_and_then_reaches_exactly_those_who_wait(
    settings: Settings, tested: tuple[Installation, str]
) -> None:
    installation, first = tested
    dying = [process(settings, first, f"INSERT INTO {table} ") for table in ("runs", "rollout_parts")]
    assert [each.communicate(timeout=120)[0] for each in dying] == ["", ""]
    assert [each.returncode for each in dying] == [-signal.SIGKILL] * 2
    with reading(installation.engine) as connection:
        assert connection.execute(sa.select(runs.c.run_id)).scalars().all() == [first]
        assert connection.execute(sa.select(rollout_parts)).all() == []

    # One of them dies as soon as it has decided, or finds that another one has.
    deciding = [process(settings, first, "no statement"), *(process(settings, first) for _ in range(2))]
    said = {each.communicate(timeout=120)[0].strip() for each in deciding}
    with reading(installation.engine) as connection:
        [part] = load_parts(connection, first)
        assert set(connection.execute(sa.select(runs.c.run_id)).scalars()) == {first, part.run_id}
    assert part.part is not None
    assert (part.weights, part.part.decided_by) == ({"a": 1.0}, "rollout")
    assert {part.run_id} <= said <= {part.run_id, ""}
    assert rollout_of(installation, first).state == "complete"

    audience, before = plan(installation, part.run_id), installation.lake.read("audience", first)
    waited = before.filter(pl.col("status") == "reserved")["contact_id"].to_list()
    assert audience["contact_id"].to_list() == waited
    assert audience.select("status", "variant").unique().rows() == [("planned", "a")]
    # The team gets copies of what goes out, and of nothing that lost.
    copies = [seed_lake(installation).read("messages", seeds_id(run)) for run in rollout_runs(installation, first)]
    assert [sorted(each["variant"]) for each in copies] == [["a", "b"], ["a"]]


def rollout_runs(installation: Installation, first: str) -> list[Run]:
    progress = rollout_of(installation, first)
    return [progress.run, *progress.parts]
