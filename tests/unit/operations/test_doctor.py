"""The doctor says what is wrong and which command mends it."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.core.database import head_revision, migrate, open_database, writing
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.doctor import Finding, examine
from campaign_pipeline.operations.installation import Installation


@pytest.fixture
def listener() -> Iterator[str]:
    """The URL of somebody who takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def look(settings: Settings, **changes: object) -> dict[str, Finding]:
    installation = Installation(settings.model_copy(update=changes))
    try:
        return {finding.check: finding for finding in examine(installation)}
    finally:
        installation.engine.dispose()


def test_all_is_fine(installation: Installation, folder: Path, listener: str) -> None:
    settings = installation.settings
    apply_folder(installation, folder)
    settings.sandbox_dir.mkdir()
    (settings.sandbox_dir / "webhook_public_key.txt").write_text("MFkw\n")
    now = datetime(2026, 3, 2, tzinfo=UTC)
    row = {"contact_id": "c", "external_id": "1", "attributes": {}, "created_at": now, "updated_at": now}
    with writing(installation.engine) as connection:
        connection.execute(sa.insert(contacts), row)
    found = look(settings, twilio_base_url=listener, sendgrid_base_url=listener, public_url=listener)
    assert [finding for finding in found.values() if not finding.ok or finding.advice] == []
    assert list(found) == [
        "live sending",
        "SendGrid webhook key",
        "data folder",
        "database",
        "contacts",
        "campaigns",
        "Twilio",
        "SendGrid",
        "event receiver",
    ]
    assert found["database"].found == f"sqlite, at revision {head_revision()}"
    assert (found["contacts"].found, found["campaigns"].found) == ("1", "2")


def test_before_init_it_says_init(settings: Settings, nobody: str) -> None:
    found = look(settings, twilio_base_url=nobody, sendgrid_base_url=nobody, public_url=nobody)
    assert found["data folder"].advice == found["database"].advice == "Run: campaigns init"
    assert found["database"].found == f"at revision none, not {head_revision()}"
    assert "contacts" not in found


def test_an_old_revision_is_named(settings: Settings, nobody: str) -> None:
    engine = open_database(settings.sqlalchemy_url)
    migrate(engine, "0001_campaign_system_base")
    engine.dispose()
    found = look(settings, twilio_base_url=nobody, sendgrid_base_url=nobody, public_url=nobody)["database"]
    assert not found.ok
    assert found.found.startswith("at revision 0001")
    assert found.advice == "Run: campaigns init"


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:1/none", "mysql://host/db", "no url"])
def test_a_database_that_cannot_be_used_is_said(settings: Settings, nobody: str, url: str) -> None:
    changed = settings.model_copy(
        update={"database_url": url, "twilio_base_url": nobody, "sendgrid_base_url": nobody, "public_url": nobody}
    )
    found = {finding.check: finding for finding in examine(Installation(changed))}["database"]
    assert not found.ok
    assert found.found.startswith("cannot be used: ")
    assert found.advice == "Check CAMPAIGN_DATABASE_URL."


def test_an_empty_installation_says_what_to_load(installation: Installation, nobody: str) -> None:
    found = look(installation.settings, twilio_base_url=nobody, sendgrid_base_url=nobody, public_url=nobody)
    assert found["contacts"].advice == "Run: campaigns contacts import FILE"
    assert found["campaigns"].advice == "Run: campaigns apply data/definitions"
    assert "campaigns sandbox" in found["SendGrid webhook key"].advice


def test_a_provider_that_does_not_answer_is_named(installation: Installation, listener: str, nobody: str) -> None:
    found = look(installation.settings, twilio_base_url=nobody, sendgrid_base_url=listener, public_url=nobody)
    assert found["Twilio"].found == f"{nobody} cannot be reached: Connection refused"
    assert found["Twilio"].advice == "Start the sandbox: campaigns sandbox"
    assert found["SendGrid"].ok
    assert found["event receiver"].advice == "Start it: campaigns serve"


def test_an_address_that_cannot_be_is_said(installation: Installation, nobody: str) -> None:
    found = look(
        installation.settings, twilio_base_url=nobody, sendgrid_base_url=nobody, public_url="http://127.0.0.1:99999"
    )
    assert "is not an address: Port out of range" in found["event receiver"].found


def test_without_live_sending_a_real_provider_is_not_even_looked_for(
    installation: Installation, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        assert timeout > 0
        asked.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    url = "https://api.twilio.com"
    found = look(installation.settings, twilio_base_url=url, sendgrid_base_url=nobody, public_url=nobody)
    assert set(asked) == {"127.0.0.1"}
    assert "live sending is off" in found["Twilio address"].found
    assert "Twilio" not in found


def test_a_data_folder_that_cannot_be_written_is_said(
    installation: Installation, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != installation.settings.data_dir)
    found = look(installation.settings, twilio_base_url=nobody, sendgrid_base_url=nobody, public_url=nobody)
    assert found["data folder"].advice == "Change its owner, or CAMPAIGN_DATA_DIR."


def test_a_mail_server_in_place_of_sendgrid(installation: Installation, listener: str, nobody: str) -> None:
    port = int(listener.rpartition(":")[2])
    common = {"email_provider": "smtp", "smtp_port": port, "twilio_base_url": nobody, "public_url": nobody}
    found = look(installation.settings, **common)
    assert {"SendGrid", "SendGrid webhook key"}.isdisjoint(found)
    assert found["mail server"].found == f"smtp://127.0.0.1:{port} answers"
    assert found["mail encryption"] == Finding("mail encryption", True, "none")
    assert found["mail bounces"].found == "to news+TOKEN@example.com"
    assert "CAMPAIGN_SMTP_BOUNCE_ADDRESS" in found["mail bounces"].advice
    elsewhere = {"smtp_host": "mail.example.com", "smtp_username": "shop", "smtp_bounce_address": "b" * 30 + "@x.com"}
    found = look(installation.settings, **common, **elsewhere)
    assert "live sending is off" in found["mail server address"].found
    assert "mail server" not in found
    assert found["mail encryption"].found == "not encrypted, and the password is refused to go over it"
    assert "too long to carry a token" in found["mail bounces"].found


def test_a_webhook_that_somebody_has_set(installation: Installation, listener: str, nobody: str) -> None:
    common = {"twilio_base_url": nobody, "sendgrid_base_url": nobody, "public_url": nobody}
    found = look(installation.settings, webhook_url=f"{listener}/in", **common)
    assert found["webhook receiver"].found == f"{listener}/in answers"
    assert found["webhook secret"].advice == "Set CAMPAIGN_WEBHOOK_SECRET to the receiver's."
    assert found["webhook doubts"].found == "requests without an answer are left in doubt"
    broken = {"webhook_secret": SecretStr("whsec_*"), "webhook_idempotent": True}
    found = look(installation.settings, webhook_url=f"{listener}/in", **common, **broken)
    assert "what follows is not base64" in found["webhook secret"].found
    assert found["webhook doubts"].found == "requests without an answer are repeated under their keys"


def test_a_relay_whose_events_would_be_refused_is_said(installation: Installation, listener: str, nobody: str) -> None:
    port = int(nobody.rpartition(":")[2])
    smtp = {
        "email_provider": "smtp",
        "smtp_port": port,
        "smtp_relay": "mailgun",
        "smtp_bounce_address": "b@example.com",
    }
    finding = look(installation.settings, **smtp)["mailgun webhook key"]
    assert (finding.ok, finding.advice) == (False, "Set CAMPAIGN_MAILGUN_SIGNING_KEY.")
    known = look(installation.settings, **smtp, mailgun_signing_key=SecretStr("key"))
    assert (known["mailgun webhook key"].ok, known["mailgun webhook key"].found) == (True, "known")


def test_amazon_needs_a_certificate_that_is_valid(installation: Installation) -> None:
    finding = look(installation.settings, ses_topic_arn="arn:aws:sns:eu-west-1:1:t")["SNS certificate"]
    assert (finding.ok, finding.found) == (False, "no certificate of Amazon SNS is known")
    assert "campaigns events certificate" in finding.advice
    assert "SNS certificate" not in look(installation.settings)
