"""All settings, read in one place: environment variables `CAMPAIGN_*`, then a `.env` file, then defaults.

Defaults talk to the local sandbox and nothing else. `docs/settings.md` documents each field and a
test keeps it complete.
"""

import json
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from campaign_pipeline.core.checks import severities
from campaign_pipeline.core.clock import Clock, shifted
from campaign_pipeline.core.errors import InvalidInput, Refused

SANDBOX_SECRET = SecretStr("sandbox-secret-not-for-production")


def _severities(value: object) -> object:
    """A JSON object, check -> severity; whatever is wrong with it is one sentence."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, dict):
        raise ValueError('is not a JSON object such as {"broken_html": "error"}')
    try:
        severities(cast("dict[str, str]", value))
    except InvalidInput as error:
        raise ValueError(f"{error.message}. {error.hint}") from None
    return cast("dict[str, str]", value)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CAMPAIGN_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = Field(
        "",
        description="SQLAlchemy URL of the operational database; empty: SQLite in data_dir.",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of everything generated: lake, warehouse, inbox.",
    )
    definitions_dir: Path = Field(Path("data/definitions"), description="Campaign, segment and template files.")

    live_sending: bool = Field(False, description="Off: no request goes anywhere but to loopback.")
    twilio_base_url: str = Field(
        "http://127.0.0.1:8990",
        description="Where the Twilio API is; live: https://api.twilio.com.",
    )
    twilio_account_sid: str = Field("AC" + "0" * 32, description="Twilio account SID.")
    twilio_auth_token: SecretStr = Field(SANDBOX_SECRET, description="Twilio auth token; also verifies its webhooks.")
    twilio_from: str = Field("+15005550006", description="Sender of SMS: an E.164 number.")
    whatsapp_from: str = Field("+15005550007", description="Sender of WhatsApp messages: an E.164 number.")
    twilio_concurrency: int = Field(32, ge=1, le=256, description="Twilio requests under way at once in a worker.")
    twilio_batch_size: int = Field(
        50,
        ge=1,
        le=1000,
        description="Twilio messages claimed together: the bound of doubt.",
    )
    sendgrid_base_url: str = Field(
        "http://127.0.0.1:8990",
        description="Where the SendGrid API is; live: https://api.sendgrid.com.",
    )
    sendgrid_api_key: SecretStr = Field(SANDBOX_SECRET, description="SendGrid API key.")
    sendgrid_webhook_public_key: str = Field("", description="Base64 public key that signs SendGrid's event posts.")
    sendgrid_batch_size: int = Field(
        500,
        ge=1,
        le=1000,
        description="Recipients in one SendGrid request: the bound of doubt.",
    )
    sendgrid_logs: bool = Field(
        False, description="Ask SendGrid's message logs about e-mails in doubt: unproven on live accounts."
    )
    settling_seconds: float = Field(
        300.0, ge=0, description="Seconds after which a claim without an answer is in doubt, and no longer in flight."
    )
    render_workers: int = Field(
        0, ge=0, le=64, description="Processes that render a large run; 0: one a core, from 4 cores on."
    )
    dispatch_workers: int = Field(
        1, ge=1, le=16, description="Steps that send a run's channel at once; more than one pays in several processes."
    )
    dispatch_requests: int = Field(
        2, ge=1, le=16, description="Batches that a worker has under way at once; a kill leaves so many in doubt."
    )
    email_provider: Literal["sendgrid", "smtp"] = Field("sendgrid", description="What e-mails go through.")
    smtp_host: str = Field("127.0.0.1", min_length=1, description="The SMTP server that takes our e-mails.")
    smtp_port: int = Field(8925, ge=1, le=65535, description="Its port; live: 587 (starttls) or 465 (tls).")
    smtp_username: str = Field("", description="Name to sign in with; empty: nobody signs in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password to sign in with.")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "none", description="How the connection is encrypted; certificates are verified."
    )
    smtp_concurrency: int = Field(8, ge=1, le=256, description="SMTP connections of a worker.")
    smtp_batch_size: int = Field(
        50, ge=1, le=1000, description="SMTP messages claimed together: the bound of doubt when a worker dies."
    )
    smtp_bounce_address: str = Field(
        "", description="Where bounces go: NAME@HOST takes mail for NAME+anything@HOST as well; empty: email_from."
    )
    smtp_relay: Literal["", "mailgun", "postmark", "ses"] = Field(
        "",
        description="Whose SMTP server it is: e-mails carry our ids as that provider hands them back in events.",
    )
    mailgun_signing_key: SecretStr = Field(SecretStr(""), description="Mailgun's webhook signing key.")
    postmark_webhook_login: SecretStr = Field(
        SecretStr(""), description="`NAME:PASSWORD` in the URL that Postmark posts to (basic authentication)."
    )
    ses_topic_arn: str = Field("", description="The one SNS topic whose posts about Amazon SES are taken.")
    ses_certificate: Path | None = Field(
        None,
        description="PEM file of the certificates that sign them; empty: data_dir/sns-certificates.pem.",
    )
    webhook_url: str = Field("http://127.0.0.1:8990/webhook", description="Where messages of the webhook channel go.")
    webhook_secret: SecretStr = Field(
        SANDBOX_SECRET, description="Key that signs them: `whsec_` and base64, or any other text."
    )
    webhook_batch_size: int = Field(
        100, ge=1, le=1000, description="Messages in one webhook request: the bound of doubt."
    )
    webhook_idempotent: bool = Field(
        False, description="The receiver processes each key and message id once: a request in doubt is repeated."
    )
    email_from: str = Field("news@example.com", description="Sender address of e-mails.")
    email_from_name: str = Field("Example Shop", description="Sender name of e-mails.")
    request_timeout_seconds: float = Field(
        15.0, gt=0, description="Bound on connecting to a provider, and on each wait for it; twice that on a request."
    )

    public_url: str = Field(
        "http://127.0.0.1:8991",
        description="Where contacts and providers reach the event receiver.",
    )
    receiver_max_bytes: int = Field(
        4 * 2**20, ge=1024, description="The largest body of a webhook that the event receiver takes; more: 413."
    )
    receiver_body_seconds: float = Field(
        10.0, gt=0, description="Seconds in which the body of a webhook must have come; later: 408."
    )
    receiver_requests: int = Field(
        256, ge=1, description="Webhooks of one provider under way at once; more: 429, come again."
    )
    receiver_waiting_bytes: int = Field(
        32 * 2**20, ge=1024, description="Bytes of one provider's webhooks held in memory at once; more: 429."
    )
    check_severity: Annotated[dict[str, str], NoDecode, BeforeValidator(_severities)] = Field(
        default_factory=dict, description='How severe findings in messages are, such as {"broken_html": "error"}.'
    )
    sms_rates: str = Field("", description="YAML file of what an SMS or WhatsApp message costs; empty: no estimate.")
    email_cost_per_thousand: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="What 1,000 e-mails cost, in sms_rates' currency; 0: not known.",
    )
    media_dir: str = Field("", description="Folder of the images of messages; empty: data_dir/media.")
    media_base_url: str = Field(
        "",
        pattern=r"^(https?://[^\s\"'<>&?#{}\\]+)?$",
        description="Where contacts load images from; empty: the event receiver, public_url/m.",
    )
    media_publish_dir: str = Field(
        "", description="Folder that images are copied to as well, such as that of a web server; empty: none."
    )
    media_max_bytes: int = Field(2_000_000, ge=1, description="The largest image that is taken.")
    link_secret: SecretStr = Field(SANDBOX_SECRET, description="Key that signs links, and hashes erased addresses.")
    soft_bounce_days: float = Field(
        3.0,
        ge=0,
        le=365,
        description="Days for which a soft bounce suppresses the address; 0: not at all.",
    )
    machine_rules: str = Field(
        "", description="YAML file of rules that tell machines from humans; empty: those that are shipped."
    )
    default_region: str = Field(
        "US",
        pattern="^[A-Z]{2}$",
        description="Region of phone numbers without a country code.",
    )
    report_days: int = Field(
        7, ge=1, le=366, description="Days whose runs the daily report shows, data_dir/reports/recent.html."
    )
    clock_offset_seconds: float = Field(
        0.0,
        description="Rehearse another time: shifts the product's clock. Refused with live sending.",
    )

    @model_validator(mode="after")
    def _safe_for_live_sending(self) -> "Settings":
        if not self.live_sending:
            return self
        used = ["twilio_auth_token", "link_secret"]
        if self.email_provider == "sendgrid":
            used.append("sendgrid_api_key")
        if not is_loopback(urlsplit(self.webhook_url).hostname or ""):
            used.append("webhook_secret")
        unsafe = [f"CAMPAIGN_{name.upper()}" for name in used if getattr(self, name) == SANDBOX_SECRET]
        if self.clock_offset_seconds:
            unsafe.append("CAMPAIGN_CLOCK_OFFSET_SECONDS")
        if unsafe:
            raise ValueError(f"live sending needs real values for {', '.join(unsafe)}")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'campaigns.db'}"

    @property
    def lake_dir(self) -> Path:
        return self.data_dir / "lake"

    @property
    def inbox_dir(self) -> Path:
        return self.data_dir / "inbox"

    @property
    def media_folder(self) -> Path:
        return Path(self.media_dir) if self.media_dir else self.data_dir / "media"

    def media_url(self, file: str) -> str:
        """The address of a file of the media folder."""
        return f"{(self.media_base_url or self.public_url.rstrip('/') + '/m').rstrip('/')}/{file}"

    @property
    def ses_certificates(self) -> Path:
        """The file that `campaigns events certificate` keeps."""
        return self.ses_certificate or self.data_dir / "sns-certificates.pem"

    @property
    def warehouse_path(self) -> Path:
        return self.data_dir / "warehouse.duckdb"

    @property
    def sandbox_dir(self) -> Path:
        return self.data_dir / "sandbox"

    @property
    def sendgrid_public_key(self) -> str:
        """The key that verifies SendGrid's event posts: the configured one, or the local sandbox's; empty: none."""
        if self.sendgrid_webhook_public_key or self.live_sending:
            return self.sendgrid_webhook_public_key
        file = self.sandbox_dir / "webhook_public_key.txt"
        return file.read_text().strip() if file.exists() else ""

    @cached_property
    def clock(self) -> Clock:
        return shifted(self.clock_offset_seconds)

    def provider_url(self, url: str) -> str:
        """`url` if a request may go there now, else Refused: without live sending, loopback only."""
        self.provider_host(urlsplit(url).hostname or "")
        return url.rstrip("/")

    def provider_host(self, host: str) -> str:
        """`host` if something may be sent there now, else Refused: without live sending, loopback only."""
        if self.live_sending or is_loopback(host):
            return host
        raise Refused(
            f"live sending is off, so nothing is sent to {host!r}",
            "Point the provider's address at the sandbox (campaigns sandbox), or set CAMPAIGN_LIVE_SENDING=true.",
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings() -> Settings:
    """The settings of this process; InvalidInput names the variable that is wrong."""
    try:
        return Settings()  # pyright: ignore[reportCallIssue]  (fields come from the environment)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "CAMPAIGN_" + "_".join(str(part) for part in first["loc"]).upper() if first["loc"] else "settings"
        raise InvalidInput(
            f"{name}: {first['msg'].removeprefix('Value error, ')}", "See docs/settings.md, or run: campaigns doctor"
        ) from None
