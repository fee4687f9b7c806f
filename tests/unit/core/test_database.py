"""The operational database: durable, one writer at a time, the same rows twice are one."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import insert_new, open_database, reading, require_schema, writing
from campaign_pipeline.core.errors import InvalidInput, Refused, Unavailable
from campaign_pipeline.core.tables import claims

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def _claim(number: int) -> dict[str, object]:
    return {"run_id": "r", "batch_no": number, "attempt": 1, "worker": "w", "claimed_at": AT}


@pytest.mark.parametrize("database", ["engine", "postgres_engine"])
def test_rows_that_are_there_are_passed_over(database: str, request: pytest.FixtureRequest) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    with writing(engine) as connection:
        assert insert_new(connection, claims, [_claim(1), _claim(2)]) == 2
        assert insert_new(connection, claims, [_claim(2), _claim(3)]) == 1
        assert insert_new(connection, claims, []) == 0


@pytest.mark.parametrize("database", ["engine", "postgres_engine"])
def test_times_come_back_aware_and_in_utc(database: str, request: pytest.FixtureRequest) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    with writing(engine) as connection:
        insert_new(connection, claims, [_claim(1)])
    with reading(engine) as connection:
        assert connection.execute(sa.select(claims.c.claimed_at)).scalar_one() == AT


def test_a_time_without_a_zone_is_refused(engine: sa.Engine) -> None:
    with pytest.raises(sa.exc.StatementError, match="a time without a zone"), writing(engine) as connection:
        insert_new(connection, claims, [_claim(1) | {"claimed_at": datetime(2026, 3, 2)}])  # noqa: DTZ001


def test_a_block_that_raises_leaves_nothing(engine: sa.Engine) -> None:
    def write_and_fail() -> None:
        with writing(engine) as connection:
            insert_new(connection, claims, [_claim(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with reading(engine) as connection:
        assert connection.execute(sa.select(claims)).all() == []


def test_two_writers_wait_for_each_other(engine: sa.Engine) -> None:
    """A read snapshot that is upgraded to a write would fail here with "database is locked"."""
    seen: list[int] = []

    def count_and_add(number: int) -> None:
        for step in range(20):
            with writing(engine) as connection:
                connection.execute(sa.select(claims)).all()
                insert_new(connection, claims, [_claim(number * 100 + step)])
        seen.append(number)

    threads = [threading.Thread(target=count_and_add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen) == [0, 1, 2, 3]
    with reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(claims)).scalar_one() == 80


def test_a_database_without_schema_says_what_to_run() -> None:
    engine = open_database("sqlite://")
    with pytest.raises(Refused, match="campaigns init"):
        require_schema(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"), [("nonsense", "not a database URL"), ("mysql://h/d", "mysql is not supported")]
)
def test_a_database_we_cannot_use_is_refused(url: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        open_database(url)


def test_a_full_database_is_said_in_words_without_what_was_to_be_written(engine: sa.Engine) -> None:
    rows = [_claim(number) | {"worker": "ann@example.com" * 100} for number in range(100)]

    def fill() -> None:
        with writing(engine) as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            insert_new(connection, claims, rows)

    with pytest.raises(Unavailable, match="the database cannot be used: database or disk is full") as raised:
        fill()
    assert "ann@example.com" not in f"{raised.value} {raised.value.__cause__}"


def test_a_database_that_is_gone_is_said_in_words(tmp_path: Path) -> None:
    gone = open_database(f"postgresql+psycopg:///campaigns?host={tmp_path}")
    with pytest.raises(Unavailable, match="the database cannot be used: "), reading(gone):
        pytest.fail("there is no such database")
