"""The demo's invented people: reproducible, harmless, and importable."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.demo.people import DEMO_DATE, generate_people

RESERVED_DOMAIN = re.compile(r"@([a-z]+\.)?example\.(com|org|net)$")
RESERVED_PHONE = re.compile(
    r"\+1[2-9]\d\d55501\d\d|\+44(7700900|2079460|1134960)\d{3}|\+33639 ?98\d{4}"
    r"|\+49(3023125|6990009|4066969|2214710|8999998)\d{3}"
)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def digest(folder: str, seed: int) -> str:
        files = generate_people(tmp_path / folder, 300, seed)
        return hashlib.sha256(files.contacts.read_bytes() + files.purchases.read_bytes()).hexdigest()

    assert digest("one", 1) == digest("two", 1)
    assert digest("one", 1) == "ea065e72ca565c30f7eb5029c16cfd3ce1be8ac769b4ef7f459c137e0503918b"  # everywhere
    assert digest("three", 2) != digest("one", 1)


def test_all_people_and_purchases_come_in_and_nobody_real_can_be_reached(
    engine: sa.Engine, lake: Lake, tmp_path: Path
) -> None:
    count = 3_000
    files = generate_people(tmp_path / "people", count)

    contacts = import_contacts(
        engine,
        files.contacts,
        read_definition(files.contact_mapping, ContactMapping),
        clock=lambda: DEMO_DATE,
        rejects_path=tmp_path / "contacts.csv",
    )
    purchases = import_events(
        engine,
        lake,
        files.purchases,
        read_definition(files.purchase_mapping, EventMapping),
        clock=lambda: DEMO_DATE,
        rejects_path=tmp_path / "purchases.csv",
    )

    assert (contacts.new, contacts.rejected, contacts.repeated) == (count, 0, 0)
    assert set(contacts.warnings) == {"invalid_email"}
    assert (purchases.rejected, purchases.repeated, purchases.warnings) == (0, 0, {})
    assert 2.7 < purchases.new / count < 3.3

    snapshot = write_snapshot(engine, lake)
    emails, phones = snapshot["email"].drop_nulls(), snapshot["phone"].drop_nulls()
    assert [email for email in emails if not RESERVED_DOMAIN.search(email)] == []
    assert [phone for phone in phones if not RESERVED_PHONE.fullmatch(phone)] == []
    assert 0.97 < len(emails) / count < 0.995
    assert 0.6 < len(phones) / count < 0.85
    assert 0 < emails.len() - emails.n_unique() < count / 50
    assert 0 < phones.len() - phones.n_unique() < count / 50
    assert 0.7 < (snapshot["consent_email"].mean() or 0) < 0.85
    assert snapshot.select("loyalty_points", "tier", "birthday").dtypes == [pl.Int64, pl.String, pl.String]
    assert set(snapshot["locale"]) == {"en-US", "en-GB", "de-DE", "de-AT", "fr-FR", "es-ES"}
    assert {"O'Brien", "Müller", 'Johnson "Jr."', "Smith, Jr."} <= set(snapshot["last_name"])
    assert snapshot["timezone"].null_count() == snapshot["country"].null_count() == 0

    events = lake.read("behaviour", purchases.import_id)
    assert set(events["event"]) == {"purchase"}
    assert events["occurred_at"].min() >= datetime(2024, 9, 2, tzinfo=UTC)  # type: ignore[operator]
    assert events["occurred_at"].max() < DEMO_DATE  # type: ignore[operator]
    assert set(events["properties"].str.json_path_match("$.category")) == {
        "books",
        "clothing",
        "garden",
        "kitchen",
        "electronics",
    }
