"""Settings: safe by default, refused when they would be unsafe, documented."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.settings import Settings, load_settings

SECRETS = {"twilio_auth_token": "t0ken", "sendgrid_api_key": "SG.k3y", "link_secret": "l1nk"}


def test_nothing_leaves_loopback_by_default(settings: Settings) -> None:
    assert settings.provider_url("http://127.0.0.1:8990/") == "http://127.0.0.1:8990"
    assert settings.provider_url("http://localhost:1") == "http://localhost:1"
    for url in ("https://api.sendgrid.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://2130706433x"):
        with pytest.raises(Refused, match="live sending is off"):
            settings.provider_url(url)


def test_live_sending_goes_where_the_settings_say(tmp_path: Path) -> None:
    live = Settings(_env_file=None, data_dir=tmp_path, live_sending=True, **SECRETS)
    assert live.provider_url("https://api.sendgrid.com/") == "https://api.sendgrid.com"


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_live_sending_is_refused_with_a_secret_of_the_sandbox(missing: str) -> None:
    values = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(ValidationError, match=f"CAMPAIGN_{missing.upper()}"):
        Settings(_env_file=None, live_sending=True, **values)


def test_live_sending_is_refused_with_a_shifted_clock() -> None:
    with pytest.raises(ValidationError, match="CAMPAIGN_CLOCK_OFFSET_SECONDS"):
        Settings(_env_file=None, live_sending=True, clock_offset_seconds=1, **SECRETS)


def test_secrets_are_masked() -> None:
    shown = repr(Settings(_env_file=None, **SECRETS))
    assert not any(secret in shown for secret in SECRETS.values())


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_TWILIO_CONCURRENCY", "0")
    with pytest.raises(InvalidInput, match="CAMPAIGN_TWILIO_CONCURRENCY"):
        load_settings()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{broken", "is not a JSON object such as"),
        ("[1]", "is not a JSON object such as"),
        ('{"broken_htm": "off"}', "there is no check 'broken_htm'. There are: unknown_variable, "),
        ('{"broken_html": "fatal"}', "check broken_html: 'fatal' is no severity. Use error, warning or off."),
    ],
)
def test_a_wrong_severity_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, value: str, problem: str) -> None:
    monkeypatch.setenv("CAMPAIGN_CHECK_SEVERITY", value)
    with pytest.raises(InvalidInput, match="CAMPAIGN_CHECK_SEVERITY: ") as raised:
        load_settings()
    assert problem in raised.value.message


def test_severities_are_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_CHECK_SEVERITY", '{"broken_html": "error", "missing_stop": "off"}')
    assert load_settings().check_severity == {"broken_html": "error", "missing_stop": "off"}


def test_every_setting_is_documented_with_its_default() -> None:
    text = (PROJECT_DIR / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`CAMPAIGN_{name.upper()}`" not in text]
    assert missing == []


def test_the_sandbox_key_is_used_only_without_live_sending(settings: Settings) -> None:
    settings.sandbox_dir.mkdir(parents=True)
    (settings.sandbox_dir / "webhook_public_key.txt").write_text("KEY\n")
    assert settings.sendgrid_public_key == "KEY"
    live = settings.model_copy(update={"live_sending": True})
    assert live.sendgrid_public_key == ""
