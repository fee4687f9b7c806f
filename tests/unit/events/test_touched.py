"""What is stale is noted until it was written from data at least as new; what waits for what."""

import pytest
import sqlalchemy as sa
from payloads import NOW, RUN, SMS_RUN

from campaign_pipeline.core.database import writing
from campaign_pipeline.events.touched import Kind, Note, RunDay, done, note_events, notes, ready

DAYS = ["2026-03-02", "2026-03-03"]


@pytest.fixture(params=["sqlite", "postgresql"])
def noted(request: pytest.FixtureRequest) -> sa.Engine:
    """A run with events of two days, another with events of one."""
    found: sa.Engine = request.getfixturevalue("engine" if request.param == "sqlite" else "postgres_engine")
    note(found)
    return found


def note(engine: sa.Engine) -> None:
    run_days = {*(RunDay(RUN, day) for day in DAYS), RunDay(SMS_RUN, DAYS[1])}
    with writing(engine) as connection:
        note_events(connection, DAYS, run_days, NOW)


def next_ones(engine: sa.Engine, days: list[str] = DAYS) -> list[tuple[str, str]]:
    return [(str(each.kind), each.key) for each in ready(notes(engine), days)]


def work_off(engine: sa.Engine, kind: Kind, key: str) -> None:
    [found] = [each for each in notes(engine) if (each.kind, each.key) == (kind, key)]
    done(engine, found)


def test_each_kind_waits_for_those_that_it_is_made_of(noted: sa.Engine) -> None:
    first, second = DAYS
    assert next_ones(noted) == [("day", first), ("day", second)]
    work_off(noted, Kind.DAY, second)
    assert next_ones(noted) == [("day", first), ("run", SMS_RUN)]
    work_off(noted, Kind.RUN, SMS_RUN)
    assert next_ones(noted) == [("day", first), ("result", f"{SMS_RUN}|{second}")]
    work_off(noted, Kind.RESULT, f"{SMS_RUN}|{second}")
    assert next_ones(noted) == [("day", first), ("report", SMS_RUN)]
    work_off(noted, Kind.REPORT, SMS_RUN)
    work_off(noted, Kind.DAY, first)
    assert next_ones(noted) == [("run", RUN)]
    work_off(noted, Kind.RUN, RUN)
    assert next_ones(noted) == [("result", f"{RUN}|{day}") for day in DAYS]
    work_off(noted, Kind.RESULT, f"{RUN}|{first}")
    work_off(noted, Kind.RESULT, f"{RUN}|{second}")
    work_off(noted, Kind.REPORT, RUN)
    assert notes(noted) == []


def test_what_is_noted_during_the_work_stays_noted(noted: sa.Engine) -> None:
    seen = notes(noted)
    note(noted)
    for each in seen:
        done(noted, each)
    assert [each[:2] for each in notes(noted)] == [each[:2] for each in seen]
    assert {each.noted for each in notes(noted)}.isdisjoint(each.noted for each in seen)


def test_a_day_that_cannot_be_built_yet_holds_nothing_up(engine: sa.Engine) -> None:
    note(engine)
    assert next_ones(engine, []) == [("run", SMS_RUN), ("run", RUN)]
    for run in (RUN, SMS_RUN):
        work_off(engine, Kind.RUN, run)
    assert next_ones(engine, []) == [("report", SMS_RUN), ("report", RUN)]
    assert Note(Kind.DAY, DAYS[0], "x")[:2] in {each[:2] for each in notes(engine)}
