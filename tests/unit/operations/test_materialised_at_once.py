"""Two materialisations of one run at once: what one has planned, the other does not replace."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.operations import rendering, runs, segments
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.runs import freeze_audience, plan_dispatch
from campaign_pipeline.operations.segments import pick_members
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.segments import evaluate
from campaign_pipeline.segments.session import WrittenMeanwhile

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PEOPLE = ("ann", "bob", "cem", "dov", "eve", "fay")


@pytest.fixture
def run_id(installation: Installation, folder: Path) -> str:
    """A run for PEOPLE, all of whom consented."""
    (folder / "segments/buyers.yaml").write_text("segment: buyers\nwhere: {reachable: email}\n")
    apply_folder(installation, folder)
    with writing(installation.engine) as connection:
        for name in PEOPLE:
            row = {"contact_id": name, "external_id": name, "email": f"{name}@example.com", "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            record_consent(connection, name, Channel.EMAIL, ConsentState.GRANTED, source="form", at=AT)
        run_id = request_run(connection, "spring-sale", AT, requested_by="cli", at=AT)
    installation.lake.write(pl.DataFrame({"contact_id": PEOPLE}), "segment_members", run_id)
    take_snapshot(installation)
    return run_id


@pytest.fixture
def other(installation: Installation) -> Installation:
    """Another process's, whose settings cut other batches."""
    return Installation(installation.settings.model_copy(update={"sendgrid_batch_size": 2}))


def withdraw(installation: Installation, name: str) -> None:
    with writing(installation.engine) as connection:
        record_consent(connection, name, Channel.EMAIL, ConsentState.WITHDRAWN, source="form", at=installation.clock())


def first(act: Callable[[], object], then: Callable[..., Any]) -> Callable[..., Any]:
    """`then`, before whose result is used something else happens."""

    def both(*arguments: Any, **options: Any) -> Any:
        result = then(*arguments, **options)
        act()
        return result

    return both


def test_messages_that_are_planned_are_not_replaced_by_those_that_were_being_rendered(
    installation: Installation, other: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    planned = BatchFile(installation.lake, run_id).content_hash()
    monkeypatch.setattr(rendering, "_steps", first(lambda: plan_dispatch(installation, run_id), rendering._steps))
    _, messages, gate = write_messages(other, run_id)
    assert BatchFile(installation.lake, run_id).content_hash() == planned
    assert messages.collect()["batch_no"].n_unique() == 1
    assert gate.passed
    with reading(installation.engine) as connection:
        ledger.require_plan(connection, run_id, planned)


def test_an_audience_whose_messages_are_planned_is_not_replaced_by_one_that_was_being_frozen(
    installation: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, final = freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    withdraw(installation, "ann")

    def plan_before_that_is_known() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "check_audience", lambda *_arguments, **_options: [])
            plan_dispatch(installation, run_id)

    monkeypatch.setattr(runs, "freeze", first(plan_before_that_is_known, runs.freeze))
    _, found = freeze_audience(installation, run_id)
    assert found.equals(final)
    assert installation.lake.read("audience", run_id).drop("contact").equals(final)


def test_messages_of_an_audience_that_was_frozen_anew_are_not_planned(installation: Installation, run_id: str) -> None:
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    withdraw(installation, "ann")
    freeze_audience(installation, run_id)
    with pytest.raises(Refused, match="the messages of spring-sale--20260302t090000z are not those of its audience"):
        plan_dispatch(installation, run_id)
    write_messages(installation, run_id)
    plan_dispatch(installation, run_id)
    assert "ann" not in set(BatchFile(installation.lake, run_id).index()["contact_id"])


def test_messages_that_are_written_anew_while_they_are_looked_at_are_not_planned(
    installation: Installation, other: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    monkeypatch.setattr(runs, "check_run", first(lambda: write_messages(other, run_id), runs.check_run))
    with pytest.raises(Refused, match="written anew while they were looked at"):
        plan_dispatch(installation, run_id)
    monkeypatch.undo()
    plan_dispatch(installation, run_id)
    with reading(installation.engine) as connection:
        ledger.require_plan(connection, run_id, BatchFile(installation.lake, run_id).content_hash())


def test_a_snapshot_that_another_run_takes_meanwhile_does_not_fail_this_one(
    installation: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    asked: list[int] = []

    def members_while_another_run_starts(*arguments: Any) -> pl.DataFrame:
        asked.append(1)
        if len(asked) < 3:
            withdraw(installation, PEOPLE[len(asked)])  # there is something new
            take_snapshot(installation)
        return evaluate.members(*arguments)

    monkeypatch.setattr(segments, "members", members_while_another_run_starts)
    found, shown = pick_members(installation, run)
    assert (sorted(found["contact_id"]), len(asked)) == (["ann", "dov", "eve", "fay"], 3)
    assert shown is not None
    assert installation.lake.read("segment_members", run_id).equals(found)


def test_a_snapshot_that_is_always_newer_ends_the_patience(
    installation: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)

    def never(*_arguments: Any) -> pl.DataFrame:
        raise WrittenMeanwhile("contacts or events were written while they were read", "Ask again.")

    monkeypatch.setattr(segments, "members", never)
    with pytest.raises(Refused, match="written while they were read"):
        pick_members(installation, run)
    assert installation.lake.read("segment_members", run_id).height == len(PEOPLE)


def test_members_of_a_planned_run_are_final(installation: Installation, run_id: str) -> None:
    freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    run = plan_dispatch(installation, run_id)
    found, shown = pick_members(installation, run)
    assert (sorted(found["contact_id"]), shown) == (sorted(PEOPLE), None)
