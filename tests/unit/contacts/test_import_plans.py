"""What an import says before and after: dry runs, samples, warnings with lines, and the types of attributes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.attributes import known_attributes
from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.comparing import Change
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping, mapping_from_pairs
from campaign_pipeline.contacts.sources.database import DatabaseRows
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import attributes, consents, contacts, imports

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAIRS = ["id=id", "email=mail", "created_at=since", "attributes=rest", "consent.email=news"]
MAPPING = mapping_from_pairs(PAIRS, ContactMapping)
FIRST = "id,mail,since,points,tier,news\n1,a@x.com,2026-01-01,1,gold,yes\n2,b@x.com,,2,,no\n3,c@x.com,,3,,\n"
SECOND = (
    "id,mail,since,points,tier,news\n1,a@x.com,,1,gold,no\n2,new@gmial.com,2026-02-01,2.5,silver,yes\n"
    "3,c@x.com,,3,,\n4,bad,,x1,,yes\n,d@x.com,,5,,\n3,c@x.com,,3,,\n"
)
Import = Callable[..., ImportResult]


@pytest.fixture
def take_in(database: sa.Engine, tmp_path: Path) -> Import:
    def run(text: str, mapping: ContactMapping = MAPPING, **how: Any) -> ImportResult:
        file = tmp_path / "people.csv"
        file.write_text(text)
        return import_contacts(database, file, mapping, clock=lambda: NOW, rejects_path=tmp_path / "rejects.csv", **how)

    return run


def everything(engine: sa.Engine) -> list[list[Any]]:
    with engine.connect() as connection:
        return [
            connection.execute(sa.select(table).order_by(*table.primary_key.columns)).all()
            for table in (contacts, consents, imports, attributes)
        ]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    database: sa.Engine, take_in: Import, tmp_path: Path
) -> None:
    take_in(FIRST)
    before = everything(database)
    mapping = mapping_from_pairs([*PAIRS, "types.points=number"], ContactMapping)
    planned = take_in(SECOND, mapping, dry_run=True)
    assert everything(database) == before
    assert not (tmp_path / "rejects.csv").exists()
    assert planned.rejects_path is None

    counts = (planned.read, planned.new, planned.changed, planned.unchanged, planned.repeated, planned.rejected)
    assert counts == (6, 1, 3, 0, 1, 1)  # 1, 1.0: another type is a change
    assert planned.warnings == {"invalid_email": 1, "email_domain_typo": 1, "invalid_points": 1}
    assert planned.examples == {
        "invalid_email": ["line 5"],
        "email_domain_typo": ["line 3: gmial.com, perhaps gmail.com"],
        "invalid_points": ["line 5"],
    }
    assert planned.first_rejects == [(6, "has no valid id, which is the contact's key")]
    assert planned.fields == {"email": 1, "email_raw": 1, "created_at": 1, "points": 3, "tier": 1}
    assert planned.types == {"points": ValueType.NUMBER, "tier": ValueType.STRING}
    by_key = {change.key: change for change in planned.sample}
    assert by_key["4"] == Change("4", 5, "new", {"email_raw": (None, "bad")})
    assert by_key["2"].line == 3
    assert by_key["2"].fields == {
        "email": ("b@x.com", "new@gmial.com"),
        "email_raw": ("b@x.com", "new@gmial.com"),
        "created_at": (NOW, datetime(2026, 2, 1, tzinfo=UTC)),
        "points": (2, 2.5),
        "tier": (None, "silver"),
    }

    done = take_in(SECOND, mapping)
    assert replace(done, rejects_path=None) == replace(planned, dry_run=False)
    assert take_in(SECOND, mapping, dry_run=True).already_imported


def test_a_dry_run_counts_withdrawals_that_would_be_kept(database: sa.Engine, take_in: Import) -> None:
    take_in(FIRST)
    other = mapping_from_pairs(["id=id", "consent.email=news", "consent.source=fair"], ContactMapping)
    planned = take_in("id,news\n2,yes\n", other, dry_run=True)
    assert planned.warnings == take_in("id,news\n2,yes\n", other).warnings == {"withdrawn_consent_kept": 1}


def test_types_are_declared_once_and_then_hold(database: sa.Engine, take_in: Import) -> None:
    mapping = mapping_from_pairs(["id=id", "attributes=rest"], ContactMapping)
    take_in("id,points,plz,empty\n1,1,01234,\n", mapping)
    with database.connect() as connection:
        assert known_attributes(connection) == {"plz": ValueType.STRING, "points": ValueType.INTEGER}

    # A column of digits stays text, words in a column of numbers are warnings, and fractions make a number.
    result = take_in("id,points,plz,empty\n1,many,1234,7\n2,2,x,8\n", mapping)
    assert result.warnings == {"invalid_points": 1}
    assert result.types == {"points": ValueType.INTEGER, "plz": ValueType.STRING, "empty": ValueType.INTEGER}
    take_in("id,points\n1,1.5\n", mapping)
    with database.connect() as connection:
        assert known_attributes(connection)["points"] is ValueType.NUMBER
        row = connection.execute(sa.select(contacts.c.attributes).where(contacts.c.external_id == "1")).scalar_one()
    assert row == {"points": 1.5, "plz": "1234", "empty": 7}


def test_a_mapping_cannot_contradict_the_catalogue(database: sa.Engine, take_in: Import) -> None:
    take_in("id,a\n1,1\n", mapping_from_pairs(["id=id", "attributes=rest"], ContactMapping))
    before = everything(database)
    with pytest.raises(InvalidInput, match="attribute 'a' is of type integer, not boolean"):
        take_in("id,a\n1,1\n", mapping_from_pairs(["id=id", "attributes=rest", "types.a=boolean"], ContactMapping))
    assert everything(database) == before


@pytest.mark.parametrize("name", ["lists", "tags", "reachable_email", "updated_at"])
def test_a_column_of_the_snapshot_cannot_be_an_attribute(take_in: Import, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        take_in(f"id,{name}\n1,x\n", mapping_from_pairs(["id=id", "attributes=rest"], ContactMapping))


def test_one_address_may_belong_to_several_contacts(database: sa.Engine, take_in: Import) -> None:
    mapping = mapping_from_pairs(["id=id", "email=mail", "phone=tel"], ContactMapping)
    text = "id,mail,tel\n1,a@x.com,+12125550123\n2,A@X.com,+1 212 555 0123\n3,a@x.com,+12125550123\n"
    assert take_in(text, mapping).new == 3
    with database.connect() as connection:
        found = connection.execute(sa.select(contacts.c.email, contacts.c.phone, contacts.c.email_raw)).all()
    assert {row[:2] for row in found} == {("a@x.com", "+12125550123")}
    assert sorted(row[2] for row in found) == ["A@X.com", "a@x.com", "a@x.com"]


def test_a_database_is_imported_as_a_file_is_and_its_password_is_recorded_nowhere(
    database: sa.Engine, tmp_path: Path, lake: Lake
) -> None:
    shop = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with shop.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (id INTEGER, mail TEXT, points INTEGER)"))
        connection.execute(sa.text("INSERT INTO people VALUES (1, 'a@x.com', 5), (2, NULL, NULL)"))
    shop.dispose()
    url = f"sqlite://u:s3cr3t@/{tmp_path / 'shop.db'}"
    source = DatabaseRows(f"sqlite:///{tmp_path / 'shop.db'}", table="people")
    mapping = mapping_from_pairs(["id=id", "email=mail", "attributes=rest"], ContactMapping)
    rejects = tmp_path / "rejects.csv"
    result = import_contacts(database, source, mapping, clock=lambda: NOW, rejects_path=rejects)
    assert (result.read, result.new, result.types) == (2, 2, {"points": ValueType.INTEGER})
    again = DatabaseRows(f"sqlite:///{tmp_path / 'shop.db'}", table="people")
    assert import_contacts(database, again, mapping, clock=lambda: NOW, rejects_path=rejects).already_imported
    with database.connect() as connection:
        assert connection.execute(sa.select(imports.c.source)).scalar_one() == "sqlite:shop.db:people"
    assert "s3cr3t" not in DatabaseRows(url, table="people").name

    events = EventMapping(contact="id", event="seen", at="mail")
    with pytest.raises(InvalidInput, match="known by an id only"):
        import_events(database, lake, again, events, clock=lambda: NOW, rejects_path=rejects)


def test_a_dry_run_of_events_writes_nothing(database: sa.Engine, lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"who": "a", "at": "2026-01-01", "sum": 3}\n{"who": null, "at": "2026-01-01", "sum": "x"}\n')
    mapping = EventMapping(contact="who", event="buy", at="at", properties="rest")

    def run(*, dry_run: bool) -> ImportResult:
        return import_events(
            database, lake, file, mapping, clock=lambda: NOW, rejects_path=tmp_path / "r.csv", dry_run=dry_run
        )

    planned = run(dry_run=True)
    assert (planned.read, planned.new, planned.rejected, planned.dry_run) == (2, 1, 1, True)
    assert planned.first_rejects == [(2, "has no contact")]
    assert planned.types == {"sum": ValueType.STRING}  # of mixed values
    assert lake.partitions("behaviour") == []
    assert not (tmp_path / "r.csv").exists()
    assert everything(database)[2] == []
    assert replace(run(dry_run=False), rejects_path=None) == replace(planned, dry_run=False)
    assert lake.read("behaviour", planned.import_id)["properties"].to_list() == ['{"sum":"3"}']
