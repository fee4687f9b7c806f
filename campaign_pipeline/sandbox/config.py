"""What a sandbox is started with."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from campaign_pipeline.core.clock import Clock, shifted
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.behaviour import Behaviour
from campaign_pipeline.sandbox.loopback import require_loopback

DEFAULT_PORT = 8990
Share = Annotated[float, Field(ge=0, le=1)]


class CallbackOptions(BaseModel):
    """How posts to the event receiver go; the defaults lose, repeat and reorder nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=500, ge=1, description="SendGrid events in one post.")
    linger_seconds: float = Field(default=0.05, ge=0, description="How long events are collected into one post.")
    delay_seconds: float = Field(default=0.0, ge=0, description="Extra wait before anything is posted.")
    concurrency: int = Field(default=8, ge=1, le=64, description="Posts under way at once.")
    timeout_seconds: float = Field(default=15.0, gt=0, description="Bound on one post (Twilio's own is 15 s).")
    sendgrid_attempts: int = Field(default=10, ge=1, description="Posts of one event batch until a 2xx answer.")
    twilio_attempts: int = Field(default=2, ge=1, description="Posts of one status; `#rc=n` on its URL makes it 1 + n.")
    retry_seconds: float = Field(default=0.2, ge=0, description="Pause before the first retry; doubles, up to 5 s.")
    shuffle: bool = Field(default=False, description="Post in a random order instead of the order of events.")
    duplicate_share: Share = Field(default=0.0, description="Share of events that are posted twice.")
    loss_share: Share = Field(default=0.0, description="Share of events that are never posted.")


class SandboxConfig(BaseModel):
    """Everything a sandbox needs. Secrets that are empty are not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(description="The installation's data folder; ours is `sandbox/` in it.")
    host: str = Field(default="127.0.0.1", description="Loopback address to listen on.")
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    events_url: str = Field(default="", description="Base URL of the event receiver; empty: no events are posted.")
    twilio_account_sid: str = Field(
        default="AC" + "0" * 32, description="Account of the Content API and of inbound texts."
    )
    twilio_auth_token: SecretStr = Field(
        default=SecretStr(""), description="Checked on requests; signs Twilio's callbacks."
    )
    sendgrid_api_key: SecretStr = Field(default=SecretStr(""), description="Checked on requests.")
    smtp_port: int = Field(default=0, ge=0, le=65535, description="Port to take mail on; 0 picks a free one.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Checked if a mailer signs in.")
    webhook_secret: SecretStr = Field(default=SecretStr(""), description="Checked on requests to /webhook.")
    webhook_idempotent: bool = Field(default=False, description="/webhook processes no message id twice.")
    clock_offset_seconds: float = Field(default=0.0, description="The sandbox's clock, ahead of the real one.")
    behaviour: Behaviour = Field(default=Behaviour(), description="Rates of what recipients do.")
    callbacks: CallbackOptions = Field(default=CallbackOptions(), description="How events are posted.")
    real_time: bool = Field(
        default=False, description="Post each event when its time has come, not as soon as possible."
    )
    strict_content: bool = Field(default=False, description="Refuse a ContentSid that is not registered.")
    hash_bodies: bool = Field(default=True, description="Off: e-mails are not rendered, body_hash is null; faster.")
    accept_only: bool = Field(
        default=False, description="Keep nothing but the ground truth, post nothing: for throughput."
    )

    @field_validator("host")
    @classmethod
    def _listens_on_loopback(cls, host: str) -> str:
        require_loopback(f"http://{host}" if ":" not in host else f"http://[{host}]", "the sandbox's host")
        return host

    @field_validator("events_url")
    @classmethod
    def _posts_to_loopback(cls, url: str) -> str:
        if url:
            require_loopback(url, "the sandbox's events_url")
        return url.rstrip("/")

    @classmethod
    def from_settings(cls, settings: Settings, **changes: Any) -> "SandboxConfig":
        """A sandbox for this installation: its secrets, its clock, its receiver. `changes` are fields of ours."""
        if settings.live_sending:
            raise InvalidInput(
                "the sandbox is not started with live sending on", "Unset CAMPAIGN_LIVE_SENDING for rehearsals."
            )
        values: dict[str, Any] = {
            "data_dir": settings.data_dir,
            "events_url": settings.public_url,
            "twilio_account_sid": settings.twilio_account_sid,
            "twilio_auth_token": settings.twilio_auth_token,
            "sendgrid_api_key": settings.sendgrid_api_key,
            "smtp_password": settings.smtp_password,
            "webhook_secret": settings.webhook_secret,
            "webhook_idempotent": settings.webhook_idempotent,
            "clock_offset_seconds": settings.clock_offset_seconds,
        }
        return cls.model_validate(values | changes)

    @property
    def folder(self) -> Path:
        return self.data_dir / "sandbox"

    @cached_property
    def clock(self) -> Clock:
        return shifted(self.clock_offset_seconds)
