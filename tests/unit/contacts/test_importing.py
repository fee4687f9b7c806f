"""Contacts into the database: counts, changes, rejects, consent, on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts import importing
from campaign_pipeline.contacts.consent import current_consent, record_consent
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.tables import consents, contacts, imports
from campaign_pipeline.core.words import Channel, ConsentState

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MAPPING = mapping_from_pairs(
    ["id=id", "email=mail", "phone=tel", "country=land", "attributes.points=points"], ContactMapping
)
Import = Callable[..., ImportResult]


def ticking() -> Clock:
    """Every reading is a second later."""
    state = [NOW]

    def clock() -> datetime:
        state[0] += timedelta(seconds=1)
        return state[0]

    return clock


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


@pytest.fixture
def take_in(engine: sa.Engine, tmp_path: Path) -> Import:
    return importer(engine, tmp_path)


def importer(engine: sa.Engine, folder: Path) -> Import:
    clock = ticking()

    def run(text: str, mapping: ContactMapping = MAPPING, **how: Any) -> ImportResult:
        file = folder / "people.csv"
        file.write_text(text)
        return import_contacts(engine, file, mapping, clock=clock, rejects_path=folder / "rejects.csv", **how)

    return run


def stored(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(contacts).order_by(contacts.c.external_id)).mappings()
        return {row["external_id"]: dict(row) for row in rows}


def test_new_changed_and_unchanged_contacts_are_told_apart(database: sa.Engine, tmp_path: Path) -> None:
    take_in = importer(database, tmp_path)
    header = "id,mail,tel,land,points\n"
    first = take_in(header + "1,A@Example.com,(212) 555-0123,us,10\n2,bad,0664 1234567,AT,\n3,,,,7\n")
    assert (first.read, first.new, first.changed, first.unchanged, first.rejected) == (3, 3, 0, 0, 0)
    assert first.warnings == {"invalid_email": 1}

    second = take_in(header + "1,a@example.com,+1 212 555 0123,US,11\n3,,,,7\n4,d@example.com,,,1\n")
    assert (second.new, second.changed, second.unchanged) == (1, 1, 1)

    people = stored(database)
    assert people["1"] == {
        "contact_id": contact_id("1"),
        "external_id": "1",
        "email": "a@example.com",
        "email_raw": "a@example.com",
        "phone": "+12125550123",
        "phone_raw": "+1 212 555 0123",
        "first_name": None,
        "last_name": None,
        "locale": None,
        "country": "US",
        "timezone": None,
        "attributes": {"points": 11},
        "created_at": NOW + timedelta(seconds=1),
        "updated_at": NOW + timedelta(seconds=2),
    }
    assert (people["2"]["email"], people["2"]["email_raw"], people["2"]["phone"]) == (None, "bad", "+436641234567")
    assert people["2"]["attributes"] == {"points": None}
    assert people["3"]["updated_at"] == NOW + timedelta(seconds=1)


def test_the_same_file_again_adds_nothing_but_another_mapping_is_another_import(take_in: Import) -> None:
    text = "id,mail,tel,land,points\n1,a@example.com,,,1\n"
    first = take_in(text)
    again = take_in(text)
    assert (again.already_imported, again.import_id, again.new, again.read) == (True, first.import_id, 0, 1)
    other = take_in(text, mapping_from_pairs(["id=id"], ContactMapping))
    assert (other.already_imported, other.unchanged) == (False, 1)


def test_what_the_mapping_does_not_mention_stays(engine: sa.Engine, take_in: Import) -> None:
    take_in("id,mail,tel,land,points\n1,a@example.com,,AT,5\n")
    mapping = mapping_from_pairs(["id=id", "country=land", "attributes.tier=tier"], ContactMapping)
    assert take_in("id,land,tier\n1,,gold\n", mapping).changed == 1
    person = stored(engine)["1"]
    assert (person["email"], person["country"]) == ("a@example.com", None)
    assert person["attributes"] == {"points": 5, "tier": "gold"}


def test_rows_without_a_key_or_contradicted_are_rejected_and_repeated_ones_count_once(
    engine: sa.Engine, take_in: Import, tmp_path: Path
) -> None:
    result = take_in(
        "id,mail,tel,land,points\n"
        "1,a@example.com,,,1\n"
        ",b@example.com,,,2\n"
        "2,c@example.com,,,3\n"
        "1,a@example.com,,,1\n"
        "2,d@example.com,,,3\n"
        "3,short\n"
    )
    assert (result.read, result.new, result.repeated, result.rejected) == (6, 2, 1, 3)
    assert stored(engine)["2"]["email"] == "d@example.com"
    assert result.rejects_path is not None
    rejects = pl.read_csv(result.rejects_path)
    assert rejects.rows() == [
        (3, "has no valid id, which is the contact's key", ",b@example.com,,,2"),
        (4, "line 6 says otherwise of the same contact, and counts", "2,c@example.com,,,3"),
        (7, "has 2 cells where the header has 5", "3,short"),
    ]


def test_an_email_can_be_the_key(engine: sa.Engine, take_in: Import) -> None:
    mapping = mapping_from_pairs(["key=email", "email=mail"], ContactMapping)
    result = take_in("mail,x\nA@Example.com,1\na@example.com,2\nbad,3\n", mapping)
    assert (result.new, result.rejected) == (1, 2)  # "A@..." is another raw form: the later row counts
    assert stored(engine)["a@example.com"]["contact_id"] == contact_id("a@example.com")


def test_a_failure_leaves_nothing_behind(engine: sa.Engine, take_in: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(importing, "record_import", fail)
    with pytest.raises(RuntimeError, match="disk"):
        take_in("id,mail,tel,land,points\n1,a@example.com,,,1\n")
    assert stored(engine) == {}
    with engine.connect() as connection:
        assert connection.execute(sa.select(imports)).all() == []


def test_a_value_that_changes_its_type_only_is_a_change(database: sa.Engine, tmp_path: Path) -> None:
    take_in = importer(database, tmp_path)
    take_in("id,a\n1,1\n", mapping_from_pairs(["id=id", "attributes=rest", "types.a=integer"], ContactMapping))
    result = take_in("id,a\n1,1\n", mapping_from_pairs(["id=id", "attributes=rest", "types.a=number"], ContactMapping))
    assert result.changed == 1
    assert repr(stored(database)["1"]["attributes"]) == "{'a': 1.0}"


CONSENT = mapping_from_pairs(["id=id", "consent.email=news", "consent.sms=granted"], ContactMapping)


def states(engine: sa.Engine, channel: Channel) -> dict[str, str]:
    with engine.connect() as connection:
        found = current_consent(connection, channel)
    return dict(found.select("contact_id", "state").iter_rows())


def entries(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(consents)).scalar_one()


def test_consent_is_appended_when_it_changes_only(database: sa.Engine, tmp_path: Path) -> None:
    take_in = importer(database, tmp_path)
    one, two, three = contact_id("1"), contact_id("2"), contact_id("3")
    first = take_in("id,news\n1,yes\n2,no\n3,\n4,perhaps\n", CONSENT)
    assert first.warnings == {"invalid_consent_email": 1}
    assert states(database, Channel.EMAIL) == {one: "granted", two: "withdrawn"}
    assert states(database, Channel.SMS) == dict.fromkeys((one, two, three, contact_id("4")), "granted")
    assert entries(database) == 6

    take_in("id,news\n1,yes\n2,YES\n3,no\n4,\n", CONSENT)
    assert states(database, Channel.EMAIL) == {one: "granted", two: "granted", three: "withdrawn"}
    assert entries(database) == 8
    with database.connect() as connection:
        row = connection.execute(sa.select(consents).order_by(consents.c.consent_id).limit(1)).mappings().one()
    assert (row["source"], row["purpose"], row["evidence"]) == (
        "import", "marketing", {"import": first.import_id, "line": 2},
    )  # fmt: skip


def test_a_file_does_not_undo_a_withdrawal_made_elsewhere(engine: sa.Engine, take_in: Import) -> None:
    one, two = contact_id("1"), contact_id("2")
    take_in("id,news\n1,yes\n2,\n", CONSENT)
    with writing(engine) as connection:
        for person in (one, two):
            record_consent(
                connection, person, Channel.EMAIL, ConsentState.WITHDRAWN, source="reply", at=NOW + timedelta(minutes=1)
            )
    # Of the first the file says what it said before; of the second it speaks for the first time.
    repeated = take_in("id,news\n2,yes\n1,yes\n", CONSENT)
    assert repeated.warnings == {"withdrawn_consent_kept": 2}
    assert states(engine, Channel.EMAIL) == {one: "withdrawn", two: "withdrawn"}


def test_a_source_that_changes_its_word_can_give_consent_again(engine: sa.Engine, take_in: Import) -> None:
    take_in("id,news\n1,no\n", CONSENT)
    result = take_in("id,news\n1,yes\n", CONSENT)
    assert result.warnings == {}
    assert states(engine, Channel.EMAIL) == {contact_id("1"): "granted"}
