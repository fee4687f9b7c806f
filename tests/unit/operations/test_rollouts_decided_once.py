"""Deciding on roll-outs, on both databases: by several at once, by people, after a stop, a cancel, a crash."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from typer.testing import CliRunner

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import move_campaign, move_run
from campaign_pipeline.campaigns.schedule import due_runs
from campaign_pipeline.campaigns.store import apply_campaign, load_parts, load_run, request_run
from campaign_pipeline.cli import results
from campaign_pipeline.cli.app import app
from campaign_pipeline.contacts import behaviour
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import contacts, rollout_parts, rollout_stops, runs
from campaign_pipeline.core.words import Channel, ConsentState, RunState
from campaign_pipeline.events.touched import Kind, notes
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations import control, rollouts
from campaign_pipeline.operations.attribution import count_conversions
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.results import measure_facts, measure_metrics
from campaign_pipeline.operations.rollouts import advance, decide, due_rollouts, rollout_of, stop
from campaign_pipeline.operations.runs import freeze_audience, plan_dispatch
from campaign_pipeline.operations.segments import pick_members
from campaign_pipeline.operations.snapshot import take_snapshot
from tests.databases import initialised

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
FIRST = "sale--20260302t090000z"
PEOPLE = sorted(ids.contact_id(f"person{n}") for n in range(120))
THREE_BATCHES = {"method": "thompson", "batches": 3, "every": "2h"}
WINNER = {"method": "winner", "test_share": 0.2, "decide_after": "4h", "timeout": "24h"}


@pytest.fixture(params=["sqlite", "postgresql"])
def people(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Installation]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    installation = initialised(settings.model_copy(update={"database_url": url}))
    with writing(installation.engine) as connection:
        for name in PEOPLE:
            row = {"contact_id": name, "external_id": name, "email": f"{name}@example.com", "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            record_consent(connection, name, Channel.EMAIL, ConsentState.GRANTED, source="form", at=AT)
        for name in "ab":
            html = '<p>{{ variant }} <a href="{{ unsubscribe_url }}">x</a></p>'
            texts = {"subject": f"Hi {name}", "text": "x", "html": html}
            apply_template(connection, Template.model_validate({"template": name, "channel": "email"} | texts), AT)
    take_snapshot(installation)
    yield installation
    installation.engine.dispose()


def first_run(installation: Installation, rollout: dict[str, Any], **fields: Any) -> str:
    """The first run of a campaign of everybody, at AT: planned and completed, as after its dispatch."""
    variants = [{"name": each, "weight": 1, "template": each} for each in "ab"]
    given = {"campaign": "sale", "channel": "email", "segment": "all", "variants": variants, "rollout": rollout}
    with writing(installation.engine) as connection:
        apply_campaign(connection, Campaign.model_validate(given | fields), AT)
        request_run(connection, "sale", AT, requested_by="cli", at=AT)
    installation.lake.write(pl.DataFrame({"contact_id": PEOPLE}), "segment_members", FIRST)
    send(installation, FIRST)
    return FIRST


def send(installation: Installation, run_id: str) -> set[str]:
    """Freeze, render and plan the run, and take it for sent; whom it sends to."""
    _, audience = freeze_audience(installation, run_id)
    write_messages(installation, run_id)
    plan_dispatch(installation, run_id)
    with writing(installation.engine) as connection:
        move_run(connection, run_id, RunState.COMPLETED, actor="test", at=AT)
        move_campaign(connection, "sale", RunState.COMPLETED, actor="test", at=AT)
    return set(audience.filter(pl.col("status") == "planned")["contact_id"])


def part_run(installation: Installation, run_id: str) -> set[str]:
    with reading(installation.engine) as connection:
        pick_members(installation, load_run(connection, run_id))
    return send(installation, run_id)


def both(*calls: Callable[[], Any]) -> list[Any]:
    """What each of `calls` gives or raises, all begun at the same moment."""
    barrier = Barrier(len(calls))
    found: list[Any] = [None] * len(calls)

    def work(place: int, call: Callable[[], Any]) -> None:
        barrier.wait(30)
        try:
            found[place] = call()
        except Refused as error:
            found[place] = error

    threads = [Thread(target=work, args=each) for each in enumerate(calls)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    return found


def rows(installation: Installation, table: sa.Table) -> list[Any]:
    with reading(installation.engine) as connection:
        return list(connection.execute(sa.select(table)))


def test_the_rule_decides_a_part_once_however_many_ask(people: Installation) -> None:
    run_id = first_run(people, THREE_BATCHES)
    found = both(*[lambda: advance(people, run_id)] * 4)
    kept = rows(people, rollout_parts)
    assert [(row.part_no, row.decided_by) for row in kept] == [(1, "rollout")]
    assert {follows for _, follows in found if follows} == {kept[0].run_id}
    assert len(rows(people, runs)) == 2


def test_a_person_is_told_when_somebody_else_was_first(people: Installation) -> None:
    run_id = first_run(people, WINNER)
    found = both(*[lambda v=v: decide(people, run_id, v, reason="known", actor=v) for v in "ab"])
    kept = rows(people, rollout_parts)
    assert len(kept) == 1
    assert [each for each in found if isinstance(each, str)] == [kept[0].run_id]
    refused = [each for each in found if isinstance(each, Refused)]
    assert len(refused) == 1


def test_a_roll_out_that_was_stopped_sends_nothing_more(people: Installation) -> None:
    run_id = first_run(people, WINNER)
    decided, stopped = both(
        lambda: decide(people, run_id, "b", reason="known", actor="ann"),
        lambda: stop(people, run_id, reason="over", actor="bob"),
    )
    parts, stops = rows(people, rollout_parts), rows(people, rollout_stops)
    assert len(parts) + len(stops) == 1  # never a stop that did not stop
    assert isinstance(decided, Refused) == bool(stops)
    assert isinstance(stopped, Refused) == bool(parts)


def test_stopping_waits_for_a_decision_that_is_being_made(
    people: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = first_run(people, WINNER)
    wrote = rollouts.request_run

    def slow(*args: Any, **named: Any) -> str:
        helper.start()
        helper.join(1.5)  # as long as this transaction is open it cannot have stopped anything
        return wrote(*args, **named)

    answers: list[Any] = []

    def stopping() -> None:
        try:
            answers.append(stop(people, run_id, reason="over", actor="bob"))
        except Refused as error:
            answers.append(error)

    helper = Thread(target=stopping)
    monkeypatch.setattr(rollouts, "request_run", slow)
    decide(people, run_id, "b", reason="known", actor="ann")
    helper.join(60)
    assert len(rows(people, rollout_parts)) == 1
    assert not rows(people, rollout_stops)
    assert isinstance(answers[0], Refused)


def test_what_is_cancelled_or_paused_is_not_due(people: Installation) -> None:
    run_id = first_run(people, THREE_BATCHES)
    assert set(due_rollouts(people)) == {run_id}
    control.pause(people, "sale", actor="ann")
    assert (due_rollouts(people), "paused" in rollout_of(people, run_id).state) == ({}, True)
    control.resume(people, "sale", actor="ann")
    assert set(due_rollouts(people)) == {run_id}
    control.cancel(people, "sale", actor="ann", reason="over")
    assert (due_rollouts(people), "cancelled" in rollout_of(people, run_id).state) == ({}, True)
    with pytest.raises(Refused, match="cancelled"):
        decide(people, run_id, "b", reason="known", actor="ann")
    assert not rows(people, rollout_parts)


def test_a_part_never_takes_the_place_of_a_run_that_the_schedule_asks_for(
    people: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    monkeypatch.setitem(vars(people.settings), "clock", lambda: now)
    run_id = first_run(people, THREE_BATCHES, schedule={"cron": "0 12 * * *", "timezone": "UTC"})
    _, follows = advance(people, run_id)
    with reading(people.engine) as connection:
        asked = [ids.run_id(each.campaign, each.as_of) for each in due_runs(connection, now).due]
    assert (follows, asked) == ("sale--20260302t120001z", ["sale--20260302t120000z"])


def test_send_before_counts_from_the_run_that_froze_everybody(people: Installation) -> None:
    first_run(people, THREE_BATCHES, send_before="30h")
    _, follows = advance(people, FIRST)
    with reading(people.engine) as connection:
        assert load_run(connection, follows).deadline == AT + timedelta(hours=30)


@pytest.mark.parametrize("step", ["request_run", "version_of", "_free_second"])
def test_a_crash_while_deciding_leaves_nothing_and_the_next_look_decides(
    people: Installation, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run_id = first_run(people, THREE_BATCHES)
    wrote = getattr(rollouts, step)

    def dies(*args: Any, **named: Any) -> Any:
        wrote(*args, **named)
        raise KeyboardInterrupt(step)

    with monkeypatch.context() as patch:
        patch.setattr(rollouts, step, dies)
        with pytest.raises(KeyboardInterrupt):
            advance(people, run_id)
    assert (rows(people, rollout_parts), len(rows(people, runs))) == ([], 1)
    assert advance(people, run_id)[1]
    assert (len(rows(people, rollout_parts)), len(rows(people, runs))) == (1, 2)


def test_all_parts_together_are_everybody_once(people: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(AT + timedelta(hours=hours) for hours in range(3, 1000, 3))
    monkeypatch.setitem(vars(people.settings), "clock", lambda: next(clock))
    run_id = first_run(people, THREE_BATCHES, holdout=10)
    audience = people.lake.read("audience", run_id)
    sent = [set(audience.filter(pl.col("status") == "planned")["contact_id"])]
    while rollout_of(people, run_id).state == "due":
        sent.append(part_run(people, advance(people, run_id)[1]))
    held = set(audience.filter(pl.col("status") == "held_out")["contact_id"])
    assert len(sent) == 3
    assert held
    assert sum(map(len, sent)) == len(set.union(*sent))
    assert set.union(*sent) == set(PEOPLE) - held
    with reading(people.engine) as connection:
        assert [run.part.part_no for run in load_parts(connection, run_id) if run.part] == [1, 2]


def test_finished_roll_outs_cost_nothing_when_it_is_asked_what_is_due(people: Installation) -> None:
    first_run(people, WINNER)
    before = statements(people, lambda: due_rollouts(people))
    decide(people, FIRST, "b", reason="known", actor="ann")
    for day in range(1, 6):
        with writing(people.engine) as connection:
            later = request_run(connection, "sale", AT + timedelta(days=day), requested_by="cli", at=AT)
        stop(people, later, reason="over", actor="ann")
    assert due_rollouts(people) == {}
    assert statements(people, lambda: due_rollouts(people)) < before


def statements(installation: Installation, call: Callable[[], Any]) -> int:
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(installation.engine, "before_cursor_execute", note)
    call()
    event.remove(installation.engine, "before_cursor_execute", note)
    return len(said)


def test_batches_wait_for_a_person_while_the_sizes_of_variants_cannot_be_chance(
    people: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = first_run(people, THREE_BATCHES)
    measured = rollouts.compare

    def uneven(installation: Installation, run_id: str, day: date | None) -> pl.DataFrame:
        return measured(installation, run_id, day).with_columns(srm_seq_p=pl.lit(0.0005, pl.Float64))

    monkeypatch.setattr(rollouts, "compare", uneven)
    choice, follows = advance(people, run_id)
    assert (choice.weights, follows) == (None, "")
    assert "sizes" in choice.reason
    assert decide(people, run_id, "a", reason="looked into", actor="ann")


def test_results_of_the_first_run_add_up(people: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = first_run(people, WINNER, holdout=10)
    measure_facts(people, run_id)
    measure_metrics(people, run_id)
    monkeypatch.setattr(results, "open_installation", lambda: people)
    said = " ".join(CliRunner().invoke(app, ["results", "sale"]).stdout.split())
    kept = dict(people.lake.read("audience", run_id).group_by("status").len().iter_rows())
    assert f"120 in the segment = {kept['planned']} planned + {kept['held_out']} held out" in said
    assert f"+ {kept['reserved']} reserved for later parts + 0 left out (nobody)" in said
    assert f"{kept['planned']} planned = 0 accepted" in said
    assert said.count("reserved") == 1


def test_purchases_that_nobody_has_counted_yet_decide_and_are_told_on(
    people: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(people.settings), "clock", lambda: AT + timedelta(hours=5))
    rule = WINNER | {"test_share": 0.5, "on_timeout": "control"}
    run_id = first_run(people, rule, goal="converted", conversion={"value": ""})
    measure_facts(people, run_id)
    tested = people.lake.read("audience", run_id).filter(pl.col("status") == "planned")
    by_variant = {name: tested.filter(pl.col("variant") == name)["contact_id"].to_list() for name in "ab"}
    buyers = by_variant["a"][:2] + by_variant["b"][2:]
    count_conversions(people, run_id)  # before any of them bought
    events = [(f"e{each}", each, "purchase", AT + timedelta(hours=1), "{}") for each in buyers]
    people.lake.write(pl.DataFrame(events, behaviour.SCHEMA, orient="row"), "behaviour", "one")
    choice, follows = advance(people, run_id)
    assert choice.weights == {"b": 1.0}, choice.reason
    assert follows
    figures = {row["variant"]: row for row in rows(people, rollout_parts)[0].figures["parts"][0]}
    assert figures["a"]["mean"] == pytest.approx(2 / len(by_variant["a"]))
    assert (figures["b"]["metric"], figures["b"]["units"]) == ("converted", len(by_variant["b"]))
    assert run_id in {note.key for note in notes(people.engine) if note.kind is Kind.RUN}
