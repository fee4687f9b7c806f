"""Lists and tags: made by use, gone with their last contact, and every change is seen by the next snapshot."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.identify import identify, identify_one, names_in_file
from campaign_pipeline.contacts.lists import LISTS, TAGS, Labels, add, counts, members, remove
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.tables import contacts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PEOPLE = {name: contact_id(name) for name in ("ann", "bob", "eve")}
LATER, LAST = NOW + timedelta(hours=1), NOW + timedelta(hours=2)


@pytest.fixture
def people(database: sa.Engine) -> sa.Engine:
    rows = [
        {"contact_id": key, "external_id": name, "attributes": {}, "created_at": NOW, "updated_at": NOW}
        for name, key in PEOPLE.items()
    ]
    with writing(database) as connection:
        connection.execute(sa.insert(contacts), rows)
    return database


def ids(*names: str) -> pl.Series:
    return pl.Series([PEOPLE[name] for name in names], dtype=pl.String)


def updated(engine: sa.Engine) -> dict[str, datetime]:
    with reading(engine) as connection:
        return dict(connection.execute(sa.select(contacts.c.external_id, contacts.c.updated_at)).all())


@pytest.mark.parametrize("labels", [LISTS, TAGS], ids=["lists", "tags"])
def test_contacts_are_added_and_removed_once_and_touched_when_they_change(people: sa.Engine, labels: Labels) -> None:
    with writing(people) as connection:
        assert add(connection, labels, "vip", ids("ann"), source="op", at=NOW) == 1
        assert add(connection, labels, "vip", ids("ann", "bob"), source="op", at=LATER) == 1
        assert add(connection, labels, "new", ids("eve"), source="op", at=NOW) == 1
        assert counts(connection, labels).rows() == [("new", 1, NOW), ("vip", 2, LATER)]
        assert members(connection, labels, "vip")["external_id"].sort().to_list() == ["ann", "bob"]
    assert updated(people) == {"ann": NOW, "bob": LATER, "eve": NOW}
    with writing(people) as connection:
        assert remove(connection, labels, "vip", ids("ann", "eve"), at=LAST) == 1
        assert remove(connection, labels, "new", None, at=LATER) == 1
        assert counts(connection, labels)["name"].to_list() == ["vip"]
    assert updated(people) == {"ann": LAST, "bob": LATER, "eve": LATER}


def test_a_list_that_is_not_there_is_named_with_the_nearest(people: sa.Engine) -> None:
    with writing(people) as connection:
        add(connection, LISTS, "vip-guests", ids("ann"), source="op", at=NOW)
        with pytest.raises(NotFound, match="there is no list 'vip-guest'") as refused:
            members(connection, LISTS, "vip-guest")
        assert "vip-guests" in refused.value.hint
        with pytest.raises(NotFound, match="there is no list 'vip-gests'"):
            remove(connection, LISTS, "vip-gests", None, at=NOW)
        with pytest.raises(NotFound):
            members(connection, TAGS, "vip-guests")


def test_names_are_checked(engine: sa.Engine) -> None:
    with writing(engine) as connection, pytest.raises(InvalidInput, match="list name 'VIP guests'"):
        add(connection, LISTS, "VIP guests", ids("ann"), source="op", at=NOW)


def test_contacts_are_meant_by_our_id_or_by_their_own(people: sa.Engine) -> None:
    with reading(people) as connection:
        found, unknown = identify(connection, pl.Series([PEOPLE["ann"], " bob ", "ann", "nobody", None, "f" * 24]))
        assert found.to_list() == sorted([PEOPLE["ann"], PEOPLE["bob"]])
        assert unknown == 2
        assert identify_one(connection, "eve") == PEOPLE["eve"]
        with pytest.raises(NotFound, match="nobody"):
            identify_one(connection, "nobody")


def test_a_file_names_contacts_in_a_column(tmp_path: Path) -> None:
    file = tmp_path / "guests.csv"
    file.write_text('\ufeffname,external_id\n"Ann, A.",ann\nBob,bob\nshort\n', encoding="utf-8")
    assert names_in_file(file, None).to_list() == ["ann", "bob"]
    assert names_in_file(file, "name").to_list() == ["Ann, A.", "Bob", "short"]
    with pytest.raises(InvalidInput, match="no column 'id'"):
        names_in_file(file, "id")
    with pytest.raises(InvalidInput, match="cannot be read"):
        names_in_file(tmp_path / "none.csv", None)
