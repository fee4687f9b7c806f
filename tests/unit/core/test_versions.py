"""Versions of definitions: an equal one adds nothing, a changed one adds itself, none ever changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.tables import segment_versions
from campaign_pipeline.core.versions import (
    Version,
    apply_version,
    definition_hash,
    newest_version,
    newest_versions,
    version,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ONE: dict[str, Any] = {"segment": "buyers", "where": {"all": [{"a": 1}, {"b": None}]}, "name": "Zoë"}
TWO = ONE | {"description": "Those who buy"}


@pytest.fixture(params=["engine", "postgres_engine"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


def keep(database: sa.Engine, definition: dict[str, Any], name: str = "buyers", minutes: int = 0) -> tuple[str, int]:
    with writing(database) as connection:
        at = AT + timedelta(minutes=minutes)
        change, kept = apply_version(connection, segment_versions, name, definition, at)
    return change, kept.version


def test_new_changed_and_unchanged(database: sa.Engine) -> None:
    assert keep(database, ONE) == ("new", 1)
    assert keep(database, ONE) == ("unchanged", 1)
    assert keep(database, TWO) == ("changed", 2)
    assert keep(database, TWO) == ("unchanged", 2)
    assert keep(database, ONE) == ("changed", 3)  # back to what it was is a change as well
    with reading(database) as connection:
        assert newest_version(connection, segment_versions, "buyers") == Version("buyers", 3, definition_hash(ONE), ONE)


def test_older_versions_stay_as_they_were(database: sa.Engine) -> None:
    keep(database, ONE)
    keep(database, TWO, minutes=1)
    keep(database, TWO, minutes=2)
    with reading(database) as connection:
        assert version(connection, segment_versions, "buyers", 1).definition == ONE
        assert version(connection, segment_versions, "buyers", 2).definition == TWO
        times = connection.execute(sa.select(segment_versions.c.applied_at).order_by(segment_versions.c.version))
        assert list(times.scalars()) == [AT, AT + timedelta(minutes=1)]
        with pytest.raises(NotFound, match="segment 'buyers' has no version 3"):
            version(connection, segment_versions, "buyers", 3)


def test_the_newest_of_each_by_name(database: sa.Engine) -> None:
    for name, definition in (("vip", ONE), ("buyers", ONE), ("buyers", TWO)):
        keep(database, definition, name)
    with reading(database) as connection:
        newest = newest_versions(connection, segment_versions)
    assert [(name, each.version) for name, each in newest.items()] == [("buyers", 2), ("vip", 1)]


def test_a_name_that_is_not_there_is_answered_with_those_that_are(database: sa.Engine) -> None:
    with reading(database) as connection, pytest.raises(NotFound) as caught:
        newest_version(connection, segment_versions, "gone")
    assert caught.value.message == "segment 'gone' does not exist"
    assert "There are: none." in caught.value.hint
    keep(database, ONE, "vip")
    keep(database, ONE, "buyers")
    with reading(database) as connection, pytest.raises(NotFound) as caught:
        newest_version(connection, segment_versions, "gone")
    assert "There are: buyers, vip." in caught.value.hint


def test_what_was_not_committed_is_not_kept(engine: sa.Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            apply_version(connection, segment_versions, "buyers", ONE, AT)
            raise RuntimeError("later in the same transaction")

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as connection:
        assert newest_versions(connection, segment_versions) == {}


def test_the_hash_is_of_the_content_not_of_the_order_of_keys() -> None:
    assert definition_hash({"a": 1, "b": [1, 2]}) == definition_hash({"b": [1, 2], "a": 1})
    assert definition_hash({"a": [1, 2]}) != definition_hash({"a": [2, 1]})
    assert definition_hash({"a": 1}) != definition_hash({"a": "1"})
