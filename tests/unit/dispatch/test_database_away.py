"""The database goes away between a request and the note of its answer: what the worker knows is kept, not in doubt."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import Unavailable
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import sender
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def send(db: sa.Engine, lake: Lake, channel: Any, pauses: list[float]) -> Callable[[], Sent]:
    patience = Patience(sleep=pauses.append)
    return lambda: send_due(db, lake, RUN, channel, worker="test", clock=lambda: NOW, patience=patience)


def away(times: int, *, commits: bool) -> Callable[[sa.Engine], Any]:
    """Instead of `writing`: so many times the database is gone, before or just after it commits."""
    left = [times]

    @contextmanager
    def write(engine: sa.Engine) -> Generator[sa.Connection]:
        gone = left[0] > 0
        left[0] -= 1
        if gone and not commits:
            raise Unavailable("the database cannot be used: server closed the connection unexpectedly")
        with writing(engine) as connection:
            yield connection
        if gone:
            raise Unavailable("the database cannot be used: server closed the connection unexpectedly")

    return write


@pytest.mark.parametrize("commits", [False, True])
def test_an_answer_is_written_down_once_the_database_is_back(
    plan: Callable[..., None], send: Callable[[], Sent], db: sa.Engine, lake: Lake, pauses: list[float],
    monkeypatch: pytest.MonkeyPatch, commits: bool,
) -> None:  # fmt: skip
    plan(6, 2)
    monkeypatch.setattr(sender, "writing", away(3, commits=commits))
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 6}
    assert pauses == list(sender.WITHOUT_DATABASE[:3])
    assert account(db, lake, RUN).messages == {"accepted": 6}


def test_a_database_that_stays_away_leaves_doubt_and_ends_the_call(
    plan: Callable[..., None], send: Callable[[], Sent], channel: Any, db: sa.Engine, lake: Lake, pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plan(6, 2)
    with monkeypatch.context() as patch:
        patch.setattr(sender, "writing", away(100, commits=False))
        with pytest.raises(Unavailable):
            send()
    assert pauses == list(sender.WITHOUT_DATABASE)
    assert account(db, lake, RUN).messages == {"in_doubt": 2, "planned": 4}
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 4}
    assert sorted(number for number, _ in channel.processed) == list(range(6))
