"""`events rejected|replay|bounce`, as somebody calls them."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox_files import add_file
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.record import from_line, to_line
from campaign_pipeline.operations.installation import Installation

Campaigns = Callable[..., Any]
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
CONFIRM = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
BOUNCE = b"To: bounce@example.com\r\nSubject: Returned\r\n\r\nfor ann@example.com\r\n"


@pytest.fixture
def inbox(campaigns: Campaigns, home: Path) -> Path:
    assert campaigns("init").code == 0
    return home / "data" / "inbox"


def set_aside(home: Path, *posts: tuple[str, bytes]) -> None:
    installation = Installation(Settings(_env_file=None, data_dir=home / "data"))
    for provider, body in posts:
        add_file(installation.settings.inbox_dir, provider, [to_line(NOW, provider, "events", {}, body)], NOW)
    receive(installation.engine, installation.lake, installation.settings)
    installation.engine.dispose()


def test_nothing_was_set_aside(campaigns: Campaigns, inbox: Path) -> None:
    assert campaigns("events", "rejected").out == "Nothing was set aside.\n"
    assert campaigns("events", "rejected", "--json").json == {"counts": [], "rejected": []}


def test_what_was_set_aside_is_counted_and_told_without_its_content(
    campaigns: Campaigns, inbox: Path, home: Path
) -> None:
    confirmation = orjson.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": CONFIRM})
    set_aside(home, ("postmark", b"ann@example.com"), ("postmark", b"Ann"), ("ses", confirmation))
    listed = campaigns("events", "rejected", "--json").json
    assert listed["counts"][0] == {"provider": "postmark", "reason": "the body is not JSON", "times": 2}
    assert sorted((row["provider"], row["position"], row["shape"]) for row in listed["rejected"]) == [
        ("postmark", 0, "aaa"),
        ("postmark", 0, "aaa@aaaaaaa.aaa"),
        ("ses", 0, "{Type: text, SubscribeURL: text}"),
    ]
    shown = campaigns("events", "rejected").out
    assert CONFIRM in shown
    assert "ann@example.com" not in shown + str(listed)


def test_a_replay_names_its_file(campaigns: Campaigns, inbox: Path, home: Path) -> None:
    set_aside(home, ("postmark", b"nonsense"), ("ses", b"nonsense"))
    [file] = [
        row["file"] for row in campaigns("events", "rejected", "--json").json["rejected"] if row["provider"] == "ses"
    ]
    wrong = campaigns("events", "replay", "no.jsonl", "--json")
    assert (wrong.code, wrong.json["error"]["message"]) == (3, "nothing of a file 'no.jsonl' was set aside")
    assert campaigns("events", "replay", file, "--json").json == {"lines": 1, "rejections": 1, "kept": 0}
    assert [row["provider"] for row in campaigns("events", "rejected", "--json").json["rejected"]] == ["postmark"]


def test_a_bounce_comes_from_a_file_or_a_pipe(
    campaigns: Campaigns, inbox: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bounce.eml").write_bytes(BOUNCE)
    assert campaigns("events", "bounce", "bounce.eml", "--json").json == {"taken_in": True, "names_a_message": False}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BOUNCE)))
    assert campaigns("events", "bounce", "-").code == 0
    records = [from_line(file.read_bytes().rstrip()) for file in inbox.glob("*.jsonl")]
    assert [(each.provider, each.kind, each.body) for each in records] == [("smtp", "bounce", BOUNCE.decode())] * 2
    missing = campaigns("events", "bounce", "none.eml")
    assert (missing.code, "there is no file 'none.eml'" in missing.err) == (3, True)


def test_a_certificate_is_kept_and_told(campaigns: Campaigns, inbox: Path, home: Path) -> None:
    key, now = rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    valid = builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = valid.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (home / "sns.pem").write_bytes(pem)
    [kept] = campaigns("events", "certificate", "sns.pem", "--json").json["kept"]
    assert (kept["subject"], len(kept["sha256"])) == ("CN=sns.amazonaws.com", 64)
    assert (home / "data" / "sns-certificates.pem").read_bytes() == pem
    (home / "none.pem").write_text("none")
    assert campaigns("events", "certificate", "none.pem").code == 2
    assert campaigns("events", "certificate", "absent.pem").code == 3
