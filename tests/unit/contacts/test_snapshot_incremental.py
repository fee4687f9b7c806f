"""A snapshot that builds on the last one equals one that reads everything, whatever changed and in whatever order."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from campaign_pipeline.contacts import snapshot as module
from campaign_pipeline.contacts.snapshot import Refreshed, refresh_snapshot, snapshot_age, write_snapshot
from campaign_pipeline.contacts.snapshot_marker import FORMAT, Marker, read_marker
from campaign_pipeline.contacts.suppression import Suppression, suppress, suppress_erased
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import attributes, consents, contact_tags, contacts, list_members, suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = SecretStr("key of the test")
PEOPLE = [f"c{number}" for number in range(8)]

Change = tuple[str, str, datetime, Any]
"""(kind, contact, stamp, value)"""


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


def row(contact: str, stamp: datetime, **values: Any) -> dict[str, Any]:
    given = {"contact_id": contact, "external_id": f"x-{contact}", "attributes": {}, "created_at": NOW}
    return given | values | {"updated_at": stamp}


def add(engine: sa.Engine, *rows: dict[str, Any]) -> None:
    with writing(engine) as connection:
        for one in rows:
            connection.execute(sa.insert(contacts), one)


def said(contact: str, channel: str, state: str, at: datetime) -> dict[str, Any]:
    kept = {"purpose": "marketing", "source": "test", "evidence": {}, "recorded_at": at}
    return {"contact_id": contact, "channel": channel, "state": state} | kept


def refresh(engine: sa.Engine, lake: Lake, now: datetime = NOW + timedelta(hours=1), **how: Any) -> Refreshed:
    """The snapshot taken again, which must be what reading everything gives."""
    refreshed = refresh_snapshot(engine, lake, now, secret=SECRET, **how)
    with tempfile.TemporaryDirectory() as folder:
        assert_frame_equal(refreshed.frame, refresh_snapshot(engine, Lake(Path(folder)), now, secret=SECRET).frame)
    return refreshed


# ---- what is read again -------------------------------------------------------------------------------------------


def test_only_what_changed_is_read(database: sa.Engine, lake: Lake) -> None:
    add(database, *(row(contact, NOW, email=f"{contact}@x.test") for contact in PEOPLE))
    first = refresh(database, lake)
    assert (first.why_full, first.read, first.added) == ("there is no snapshot to build on", 8, 8)

    with writing(database) as connection:
        later = NOW + timedelta(minutes=1)
        change = sa.update(contacts).where(contacts.c.contact_id == "c3").values(email="new@x.test", updated_at=later)
        connection.execute(change)
        connection.execute(sa.insert(consents), said("c5", "email", "granted", later))
    second = refresh(database, lake)
    assert (second.why_full, second.read, second.added, second.changed, second.removed) == ("", 2, 0, 1, 0)
    assert second.frame.filter(contact_id="c3")["email"].item() == "new@x.test"
    assert second.frame.filter("reachable_email")["contact_id"].to_list() == ["c5"]

    third = refresh(database, lake)
    assert (third.why_full, third.read, third.changed) == ("", 0, 0)


def test_a_transaction_that_commits_late_is_not_missed(database: sa.Engine, lake: Lake) -> None:
    """Its rows carry the time at which it began: before the newest of what the last snapshot had seen."""
    add(database, *(row(contact, NOW + timedelta(minutes=30)) for contact in PEOPLE))
    refresh(database, lake)
    began = NOW - timedelta(days=1)
    add(database, row("late", began, first_name="Late"))
    with writing(database) as connection:
        connection.execute(
            sa.update(contacts).where(contacts.c.contact_id == "c1").values(updated_at=began, locale="de")
        )
    refreshed = refresh(database, lake)
    assert (refreshed.why_full, refreshed.read, refreshed.added, refreshed.changed) == ("", 2, 1, 1)


def test_a_clock_that_stands_hides_no_change(database: sa.Engine, lake: Lake) -> None:
    add(database, *(row(contact, NOW - timedelta(days=1)) for contact in PEOPLE), row("now", NOW, first_name="A"))
    refresh(database, lake, NOW)
    with writing(database) as connection:
        connection.execute(sa.update(contacts).where(contacts.c.contact_id == "now").values(first_name="B"))
    refreshed = refresh(database, lake, NOW)
    assert (refreshed.why_full, refreshed.read) == ("", 1)
    assert refreshed.frame.filter(contact_id="now")["first_name"].item() == "B"


def test_consent_that_was_committed_out_of_order_is_not_missed(database: sa.Engine, lake: Lake) -> None:
    add(database, *(row(contact, NOW) for contact in PEOPLE))
    with writing(database) as connection:
        connection.execute(sa.insert(consents), said("c0", "sms", "granted", NOW) | {"consent_id": 10})
    refresh(database, lake)
    with writing(database) as connection:
        connection.execute(sa.insert(consents), said("c1", "sms", "granted", NOW) | {"consent_id": 9})
    refreshed = refresh(database, lake)
    assert refreshed.why_full == "entries of consent were committed out of order, or erased"
    assert refreshed.frame.filter("consent_sms")["contact_id"].to_list() == ["c0", "c1"]


def test_who_is_gone_leaves_the_snapshot(database: sa.Engine, lake: Lake) -> None:
    add(database, *(row(contact, NOW) for contact in PEOPLE))
    refresh(database, lake)
    with writing(database) as connection:
        connection.execute(sa.delete(contacts).where(contacts.c.contact_id == "c2"))
    refreshed = refresh(database, lake)
    assert (refreshed.why_full, refreshed.read, refreshed.removed) == ("", 0, 1)
    assert "c2" not in refreshed.frame["contact_id"]


# ---- reach --------------------------------------------------------------------------------------------------------


def test_reach_needs_an_address_consent_and_no_suppression(database: sa.Engine, lake: Lake) -> None:
    addresses = {"c0": "yes@x.test", "c1": None, "c2": "mute@x.test", "c3": "gone@x.test", "c4": "soft@x.test"}
    add(database, *(row(contact, NOW, email=email) for contact, email in addresses.items()), row("c5", NOW))
    with writing(database) as connection:
        connection.execute(sa.insert(consents), [said(contact, "email", "granted", NOW) for contact in addresses])
        bounced = SuppressionReason.SOFT_BOUNCE
        suppress(
            connection,
            [
                Suppression("every", "mute@x.test", SuppressionReason.MANUAL, "a", NOW),
                Suppression("email", "soft@x.test", bounced, "b", NOW, expires_at=NOW + timedelta(days=1)),
                Suppression("email", "yes@x.test", SuppressionReason.MANUAL, "c", NOW, topic="research"),
            ],
        )
        suppress_erased(connection, [(Channel.EMAIL, "gone@x.test")], SECRET, NOW)
    assert refresh(database, lake).frame.filter("reachable_email")["contact_id"].to_list() == ["c0"]
    tomorrow = refresh(database, lake, NOW + timedelta(days=2))
    assert (tomorrow.why_full, tomorrow.read) == ("", 0)
    assert tomorrow.frame.filter("reachable_email")["contact_id"].to_list() == ["c0", "c4"]
    assert not tomorrow.frame["reachable_sms"].any()


# ---- when everything is read --------------------------------------------------------------------------------------


def declare(engine: sa.Engine, **types: str) -> None:
    with writing(engine) as connection:
        rows = [
            {"attribute": name, "type": kind, "declared_by": "x", "declared_at": NOW} for name, kind in types.items()
        ]
        connection.execute(sa.delete(attributes))
        connection.execute(sa.insert(attributes), rows)


def test_declared_attributes_have_their_type_and_misfits_are_counted(database: sa.Engine, lake: Lake) -> None:
    declare(database, points="integer", score="number", vip="boolean", tier="string", born="date", nobody="integer")
    add(
        database,
        row("c0", NOW, attributes={"points": 3, "score": 3, "vip": True, "tier": "a", "born": "1990-01-01"}),
        row("c1", NOW, attributes={"points": 4.0, "score": 1.5, "vip": None, "tier": 7}),
        row("c2", NOW, attributes={"points": "many", "score": "x", "vip": 1, "tier": {"of": 1}, "tags": "mine"}),
    )
    refreshed = refresh(database, lake)
    names = ["born", "nobody", "points", "score", "tier", "vip"]
    assert refreshed.frame.columns[-6:] == names
    assert refreshed.frame.select(names).dtypes == [pl.String, pl.Int64, pl.Int64, pl.Float64, pl.String, pl.Boolean]
    assert refreshed.frame.select(names).rows() == [
        ("1990-01-01", None, 3, 3.0, "a", True),
        (None, None, 4, 1.5, "7", None),
        (None, None, None, None, '{"of":1}', None),
    ]
    assert refreshed.misfits == {"points": 1, "score": 1, "vip": 1}
    assert refreshed.frame["tags"].to_list() == [[], [], []]  # a field of the snapshot, and no attribute


def test_a_changed_catalogue_reads_everything(engine: sa.Engine, lake: Lake) -> None:
    declare(engine, points="integer")
    add(engine, *(row(contact, NOW, attributes={"points": 1}) for contact in PEOPLE))
    refresh(engine, lake)
    declare(engine, points="number")
    refreshed = refresh(engine, lake)
    assert refreshed.why_full == "the columns or attributes are not those of the last snapshot"
    assert refreshed.frame.schema["points"] == pl.Float64


def test_an_attribute_that_is_not_declared_reads_everything(engine: sa.Engine, lake: Lake) -> None:
    add(engine, *(row(contact, NOW) for contact in PEOPLE))
    refresh(engine, lake)
    add(engine, row("c9", NOW, attributes={"shoe": 42}))
    assert refresh(engine, lake).why_full == "attributes are not declared: shoe"
    assert "erased" in refresh(engine, lake).why_full
    with writing(engine) as connection:
        connection.execute(sa.update(contacts).values(attributes={}))
    assert "shoe" not in refresh(engine, lake).frame.columns


def test_many_changes_read_everything(engine: sa.Engine, lake: Lake) -> None:
    add(engine, *(row(contact, NOW) for contact in PEOPLE))
    refresh(engine, lake)
    with writing(engine) as connection:
        some = contacts.c.contact_id.in_(PEOPLE[:3])
        connection.execute(sa.update(contacts).where(some).values(updated_at=NOW + timedelta(minutes=1)))
    assert refresh(engine, lake).why_full == "3 contacts changed, of 8"
    assert refresh(engine, lake, full=True).why_full == "asked for"


@pytest.mark.parametrize("spoiled", [Marker(taken_at=NOW, format=FORMAT - 1), None])
def test_a_snapshot_of_another_kind_is_read_anew(engine: sa.Engine, lake: Lake, spoiled: Marker | None) -> None:
    add(engine, *(row(contact, NOW) for contact in PEOPLE))
    old = refresh(engine, lake).frame.drop("tags")
    lake.write(old, "contact_snapshot", metadata=spoiled.metadata() if spoiled else None)
    assert refresh(engine, lake).why_full != ""


# ---- age ----------------------------------------------------------------------------------------------------------


def test_the_age_is_that_of_the_moment_it_was_taken(engine: sa.Engine, lake: Lake) -> None:
    with pytest.raises(NotFound, match="no contact snapshot"):
        snapshot_age(lake, NOW)
    write_snapshot(engine, lake, NOW)
    assert snapshot_age(lake, NOW + timedelta(hours=7)) == timedelta(hours=7)
    write_snapshot(engine, lake, NOW + timedelta(hours=6))  # nothing changed, but it was looked at
    assert snapshot_age(lake, NOW + timedelta(hours=7)) == timedelta(hours=1)
    marker = read_marker(lake)
    assert marker is not None
    assert marker.incremental


# ---- anything, in any order ---------------------------------------------------------------------------------------

STAMPS = st.integers(0, 30).map(lambda hours: NOW - timedelta(hours=hours))  # of long transactions, in any order
SEEN = NOW + timedelta(hours=1)
PERSON = st.sampled_from(PEOPLE[:5])
VALUES = st.dictionaries(
    st.sampled_from(["points", "tier"]), st.one_of(st.integers(0, 3), st.text("ab", max_size=2), st.none())
)
OFTEN = (
    st.tuples(st.just("contact"), PERSON, STAMPS, VALUES),
    st.tuples(st.just("consent"), PERSON, STAMPS, st.sampled_from(["granted", "granted", "withdrawn", "pending"])),
    st.tuples(st.just("list"), PERSON, STAMPS, st.sampled_from(["one", "two"])),
    st.tuples(st.just("tag"), PERSON, STAMPS, st.sampled_from(["new", "old"])),
    st.tuples(st.just("suppress"), PERSON, STAMPS, st.sampled_from(["email", "every"])),
    st.tuples(st.just("remove"), PERSON, STAMPS, st.none()),
)
SELDOM = st.one_of(
    st.tuples(st.just("declare"), st.just(""), STAMPS, st.sampled_from(["integer", "string"])),
    st.tuples(st.just("contact"), st.just("c0"), STAMPS, st.just({"shoe": 42})),  # which is not declared
)
CHANGE = st.one_of(*OFTEN, *OFTEN, *OFTEN, *OFTEN, SELDOM)
LOOKED = st.sampled_from([SEEN, SEEN, NOW - timedelta(hours=10), None])
"""When a snapshot is taken after the change: also by a clock that was put back, or not at all."""


def apply(connection: sa.Connection, number: int, kind: str, who: str, stamp: datetime, value: Any) -> None:
    # As the product does: whatever is said of a contact's fields, lists and tags has a stamp of its own.
    stamp += timedelta(microseconds=number)
    this = contacts.c.contact_id == who
    member = {"contact_id": who, "source": "test", "added_at": stamp}
    match kind:
        case "contact":
            connection.execute(sa.delete(contacts).where(this))
            connection.execute(sa.insert(contacts), row(who, stamp, email=f"{who}@x.test", attributes=value))
        case "consent":
            connection.execute(sa.insert(consents), said(who, "email", value, stamp))
        case "list" | "tag":
            table = list_members if kind == "list" else contact_tags
            gone = connection.execute(sa.delete(table).where(table.c[0] == value, table.c.contact_id == who)).rowcount
            if not gone:
                connection.execute(sa.insert(table), member | {kind: value})
            connection.execute(sa.update(contacts).where(this).values(updated_at=stamp))
        case "suppress":
            entry = Suppression(value, f"{who}@x.test", SuppressionReason.MANUAL, f"act {number}", stamp)
            suppress(connection, [entry])
        case "remove":
            connection.execute(sa.delete(contacts).where(this))
        case "declare":
            connection.execute(sa.update(attributes).where(attributes.c.attribute == "points").values(type=value))
        case _:
            raise AssertionError(kind)


@contextmanager
def emptied(engine: sa.Engine) -> Generator[Lake]:
    with writing(engine) as connection:
        for table in (contacts, consents, list_members, contact_tags, suppressions, attributes):
            connection.execute(sa.delete(table))
    with tempfile.TemporaryDirectory() as folder:
        yield Lake(Path(folder))


def check_random_changes(engine: sa.Engine, changes: list[tuple[Change, datetime | None]]) -> None:
    with emptied(engine) as lake, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_CHANGED", 10)  # so few contacts: else nearly every change is a large one
        declare(engine, points="number", tier="string")
        add(engine, *(row(contact, NOW, email=f"{contact}@x.test") for contact in PEOPLE))
        refresh(engine, lake, SEEN)
        for number, (change, looked) in enumerate(changes, 1):
            with writing(engine) as connection:
                apply(connection, number, *change)
            if looked:
                refresh(engine, lake, looked)
        refresh(engine, lake, SEEN)


@options(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(CHANGE, LOOKED), min_size=4, max_size=15))
def test_any_changes_on_sqlite(engine: sa.Engine, changes: list[tuple[Change, datetime | None]]) -> None:
    check_random_changes(engine, changes)


@options(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(CHANGE, LOOKED), min_size=4, max_size=15))
def test_any_changes_on_postgres(postgres_engine: sa.Engine, changes: list[tuple[Change, datetime | None]]) -> None:
    check_random_changes(postgres_engine, changes)
