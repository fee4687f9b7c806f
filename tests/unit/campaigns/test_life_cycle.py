"""The life of campaigns and runs: every pair of states against the one table."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import ENDED, TRANSITIONS, move_campaign, move_run, run_state
from campaign_pipeline.campaigns.store import apply_campaign, campaign_state, load_run, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.tables import campaigns, runs, state_changes
from campaign_pipeline.core.words import RunState

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
CAMPAIGN, RUN = "spring-sale", "spring-sale--20260302t090000z"
PAIRS = list(product(RunState, RunState))


@pytest.fixture
def there(engine: sa.Engine, make_campaign: Callable[..., Campaign]) -> sa.Engine:
    keep(engine, make_campaign())
    return engine


def keep(engine: sa.Engine, campaign: Campaign) -> None:
    with writing(engine) as connection:
        apply_campaign(connection, campaign, AT)
        assert request_run(connection, CAMPAIGN, AT, requested_by="cli", at=AT) == RUN


def put(engine: sa.Engine, table: sa.Table, state: RunState) -> None:
    with writing(engine) as connection:
        connection.execute(sa.update(table).values(state=state))


def changes(engine: sa.Engine) -> list[tuple[Any, ...]]:
    columns = [column for column in state_changes.c if column.name != "change_id"]
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(state_changes.c.change_id))]


def test_the_table_speaks_of_every_state_and_never_of_staying() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert all(state not in targets for state, targets in TRANSITIONS.items())
    assert TRANSITIONS[RunState.CANCELLED] == frozenset()


def test_every_state_can_be_reached_and_all_but_the_end_can_be_cancelled() -> None:
    assert frozenset(RunState) == frozenset.union(*TRANSITIONS.values())
    assert {state for state, targets in TRANSITIONS.items() if RunState.CANCELLED not in targets} == {
        RunState.CANCELLED
    }


@pytest.mark.parametrize(("current", "to"), PAIRS)
def test_a_campaign_moves_as_the_table_says(there: sa.Engine, current: RunState, to: RunState) -> None:
    put(there, campaigns, current)
    moved = (CAMPAIGN, current, to, "ann", "why", LATER)
    if to == current or to in TRANSITIONS[current]:
        with writing(there) as connection:
            move_campaign(connection, CAMPAIGN, to, actor="ann", at=LATER, reason="why")
            assert campaign_state(connection, CAMPAIGN) == to
        assert changes(there) == ([] if to == current else [moved])
    else:
        with writing(there) as connection, pytest.raises(Refused) as caught:
            move_campaign(connection, CAMPAIGN, to, actor="ann", at=LATER, reason="why")
        assert caught.value.message == f"{CAMPAIGN} is {current} and cannot become {to}"
        with reading(there) as connection:
            row = connection.execute(sa.select(campaigns)).one()
        assert (row.state, row.updated_at) == (current, AT)
        assert changes(there) == []


@pytest.mark.parametrize(("current", "to"), PAIRS)
def test_a_run_moves_as_the_table_says_until_it_has_ended(there: sa.Engine, current: RunState, to: RunState) -> None:
    put(there, runs, current)
    possible = frozenset[RunState]() if current in ENDED else TRANSITIONS[current]
    if to == current or to in possible:
        with writing(there) as connection:
            move_run(connection, RUN, to, actor="ann", at=LATER, reason="why")
            assert run_state(connection, RUN) == to
        assert changes(there) == ([] if to == current else [(RUN, current, to, "ann", "why", LATER)])
    else:
        with writing(there) as connection, pytest.raises(Refused) as caught:
            move_run(connection, RUN, to, actor="ann", at=LATER, reason="why")
        offered = ", ".join(sorted(possible)) or "nothing: it has ended"
        assert caught.value.hint == f"From {current} it can become: {offered}."
        with reading(there) as connection:
            run = load_run(connection, RUN)
        assert (run.state, run.reason, run.finished_at) == (current, "", None)
        assert changes(there) == []


def test_a_run_that_ends_says_when_and_why(there: sa.Engine) -> None:
    with writing(there) as connection:
        move_run(connection, RUN, RunState.RUNNING, actor="dagster", at=AT)
        assert load_run(connection, RUN).finished_at is None
        move_run(connection, RUN, RunState.CANCELLED, actor="ann", at=LATER, reason="called off")
        run = load_run(connection, RUN)
    assert (run.state, run.reason, run.finished_at) == (RunState.CANCELLED, "called off", LATER)


def test_what_does_not_exist_is_not_moved(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        with pytest.raises(NotFound, match="campaign 'gone' does not exist"):
            move_campaign(connection, "gone", RunState.PAUSED, actor="ann", at=AT)
        with pytest.raises(NotFound, match="run_id 'gone' does not exist"):
            move_run(connection, "gone", RunState.PAUSED, actor="ann", at=AT)
        with pytest.raises(NotFound, match="run 'gone' does not exist"):
            run_state(connection, "gone")
    assert changes(engine) == []


def test_of_two_who_move_at_once_one_is_refused(
    postgres_engine: sa.Engine, make_campaign: Callable[..., Campaign]
) -> None:
    """The other one commits after this one has looked, and before it writes."""
    keep(postgres_engine, make_campaign())
    interrupted = False

    def other_first(_connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        nonlocal interrupted
        if statement.startswith("UPDATE runs") and not interrupted:
            interrupted = True
            with writing(postgres_engine) as other:
                move_run(other, RUN, RunState.CANCELLED, actor="bob", at=AT)

    event.listen(postgres_engine, "before_cursor_execute", other_first)
    with writing(postgres_engine) as connection, pytest.raises(Refused, match="changed by somebody else just now"):
        move_run(connection, RUN, RunState.RUNNING, actor="ann", at=AT)
    event.remove(postgres_engine, "before_cursor_execute", other_first)
    assert [(change[2], change[3]) for change in changes(postgres_engine)] == [("cancelled", "bob")]
    with reading(postgres_engine) as connection:
        assert run_state(connection, RUN) == RunState.CANCELLED
