"""Suppressions from and to files: whole or with a reason why not, twice the same, safe in a spreadsheet."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.suppression import (
    Suppression,
    active_suppressions,
    entries_of,
    lift,
    lift_erased,
    suppress,
    suppress_erased,
    suppression_counts,
)
from campaign_pipeline.contacts.suppression_files import (
    SuppressionImport,
    export_suppressions,
    import_suppressions,
)
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, SuppressionReason

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = SecretStr("one")
FILE = """address,channel,topic,reason,expires_at,note
Ann@Example.com,email,,unsubscribed,,"two
lines"
(212) 555-0123,,,,,
bob@example.com,email,newsletter,manual,2026-03-05,
eve@example.com,email,,,2026-03-01,
not an address,email,,,,
bob@example.com,pigeon,,,,
bob@example.com,email,,erased,,
bob@example.com,email,,,tomorrow,
ann@example.com,email,,unsubscribed,,
"""


def take_in(engine: sa.Engine, file: Path, hours: int = 0, **given: str) -> SuppressionImport:
    with writing(engine) as connection:
        at, rejects = NOW + timedelta(hours=hours), file.with_suffix(".rejects")
        return import_suppressions(connection, file, at=at, rejects_path=rejects, region="US", **given)


def test_a_file_is_taken_in_once_and_what_is_wrong_is_kept_aside(database: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text(FILE)
    result = take_in(database, file)
    assert (result.read, result.added, result.held, result.expired, result.rejected) == (9, 3, 1, 1, 4)
    assert result.rejects_path
    with result.rejects_path.open(newline="") as stream:
        assert [(row["line"], row["reason"]) for row in csv.DictReader(stream)] == [
            ("7", "the address is neither an e-mail address nor a phone number"),
            ("8", "channel 'pigeon' is not known"),
            (
                "9",
                "reason 'erased' is not one of unsubscribed, opted_out, complained, hard_bounce, soft_bounce, manual",
            ),
            ("10", "expires_at is not a time such as 2026-03-02 or 2026-03-02T09:00:00Z"),
        ]
    with reading(database) as connection:
        assert suppression_counts(connection, NOW).rows() == [
            ("email", "", "unsubscribed", 1),
            ("email", "newsletter", "manual", 1),
            ("every", "", "manual", 1),
        ]
        assert active_suppressions(connection, Channel.SMS, at=NOW).rows() == [("+12125550123", "manual")]
    again = take_in(database, file, 1)
    assert (again.added, again.held) == (0, 4)


def test_what_was_lifted_is_suppressed_again_and_a_longer_time_counts(database: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text("mail\nann@example.com\n")
    given = {"column": "mail", "channel": "email"}
    assert take_in(database, file, **given).added == 1
    with writing(database) as connection:
        at = NOW + timedelta(hours=1)
        lift(connection, [Suppression(Channel.EMAIL, "ann@example.com", SuppressionReason.MANUAL, "op", at)])
    assert take_in(database, file, 2, **given).added == 1
    file.write_text(
        "mail,expires_at\nbob@example.com,2026-03-05\nbob@example.com,2026-03-09\nbob@example.com,2026-03-07\n"
    )
    result = take_in(database, file, 3, **given)
    assert (result.added, result.held) == (1, 2)
    with reading(database) as connection:
        held = active_suppressions(connection, Channel.EMAIL, at=datetime(2026, 3, 8, tzinfo=UTC))
    assert held["address"].to_list() == ["ann@example.com", "bob@example.com"]


def test_a_file_without_the_column_is_refused(engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text("mail\nann@example.com\n")
    with pytest.raises(InvalidInput, match="no column 'address'") as refused:
        take_in(engine, file)
    assert "mail" in refused.value.hint


def test_what_is_exported_is_safe_and_comes_back_as_it_was(database: sa.Engine, tmp_path: Path) -> None:
    reason, ends = SuppressionReason.OPTED_OUT, NOW + timedelta(days=2)
    with writing(database) as connection:
        rows = [
            Suppression(Channel.SMS, "+12125550123", reason, "event-1", NOW),
            Suppression(Channel.EMAIL, "=1+1@example.com", SuppressionReason.MANUAL, "=op", NOW, "news", ends),
            Suppression(Channel.EMAIL, "past@example.com", reason, "event-2", NOW, expires_at=NOW),
        ]
        suppress(connection, rows)
        suppress_erased(connection, [(Channel.EMAIL, "eve@example.com")], SECRET, NOW)
        file = tmp_path / "out" / "suppressed.csv"
        assert export_suppressions(connection, file, NOW) == (2, 1)
        before = suppression_counts(connection, NOW)
        with file.open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert "'+12125550123" in cells
        assert "'=1+1@example.com" in cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert take_in(database, file).added == 0, "all of it is known"
    with writing(database) as connection:
        lift(connection, [Suppression(Channel.SMS, "+12125550123", reason, "event-3", NOW)])
        lift(
            connection, [Suppression(Channel.EMAIL, "=1+1@example.com", SuppressionReason.MANUAL, "=op2", NOW, "news")]
        )
        assert suppression_counts(connection, NOW).height == 1
    assert take_in(database, file, 1).added == 2
    with reading(database) as connection:
        assert suppression_counts(connection, NOW).equals(before)


def test_an_erased_address_is_found_and_lifted_by_its_owner_s_wish(database: sa.Engine) -> None:
    with writing(database) as connection:
        suppress_erased(connection, [(Channel.EMAIL, "eve@example.com")], SECRET, NOW)
        [row] = entries_of(connection, "eve@example.com", NOW, SECRET).to_dicts()
        assert (row["channel"], row["reason"]) == ("every", "erased")
        assert lift_erased(connection, "eve@example.com", SECRET, source="op", at=NOW + timedelta(hours=1))
        assert entries_of(connection, "eve@example.com", NOW, SECRET).is_empty()
        assert not lift_erased(connection, "eve@example.com", SECRET, source="op-2", at=NOW + timedelta(hours=2))
