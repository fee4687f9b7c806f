"""Real SDKs over real HTTP: the sandbox as a provider, and a bare server that answers by script."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import runs
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.server import SandboxServer

RUN = "spring-sale--20260302t090000z"

EMAIL = MessageSkeleton(
    (
        ("subject", Skeleton(("Hello ", "!"))),
        ("html", Skeleton(("<p>Dear ", ", your code is ", "</p>"))),
        ("text", Skeleton(("Dear ", ""))),
    )
)
SMS = MessageSkeleton((("body", Skeleton(("Hi ", ", 10% off today."))),))
WHATSAPP = MessageSkeleton(
    (("content_sid", Skeleton(("HX" + "1" * 32,))), ("var:1", Skeleton(("", ""))), ("var:2", Skeleton(("code ", ""))))
)
SKELETONS = {"email": EMAIL, "sms": SMS, "whatsapp": WHATSAPP, "webhook": SMS}


def fragments(channel: str, number: int) -> list[str]:
    name = f"Ann{number}"
    return {
        "email": [name, name, str(number), name],
        "sms": [name],
        "whatsapp": [name, str(number)],
        "webhook": [name],
    }[channel]


def address(channel: str, number: int) -> str:
    forms = {"email": f"user{number}@example.com", "webhook": f"C-{number}"}
    return forms.get(channel, f"+1212555{number:04d}")


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def make(channel: str, messages: int = 2, texts: list[list[str]] | None = None, attempt: int = 1) -> Batch:
        return Batch(
            run_id=RUN,
            campaign="spring-sale",
            variant="plain",
            batch_no=0,
            attempt=attempt,
            skeleton=SKELETONS[channel],
            messages=tuple(
                Message(n, f"{n:024x}", address(channel, n), texts[n] if texts else fragments(channel, n))
                for n in range(messages)
            ),
        )

    return make


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[SandboxServer]:
    with SandboxServer(SandboxConfig.from_settings(settings, port=0, events_url="")) as server:
        yield server


@pytest.fixture
def to_sandbox(settings: Settings, sandbox: SandboxServer) -> Settings:
    """Settings that point at the sandbox, impatient."""
    urls: dict[str, object] = {
        "sendgrid_base_url": sandbox.url,
        "twilio_base_url": sandbox.url,
        "webhook_url": f"{sandbox.url}/webhook",
    }
    urls |= {"smtp_port": sandbox.control.smtp_port()}
    return settings.model_copy(update={**urls, "request_timeout_seconds": 1.0, "twilio_concurrency": 4})


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """A server whose next answers are `answers`: (status, headers, body), or None to drop the connection."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes] | None] = field(default_factory=list)
    default: tuple[int, dict[str, str], bytes] = (202, {"X-Message-Id": "wire-1"}, b"")


@pytest.fixture
def wire() -> Iterator[Wire]:
    script = Wire()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.seen.append(Seen(self.command, self.path, dict(self.headers), body))
            given = script.answers.pop(0) if script.answers else script.default
            if given is None:
                self.close_connection = True
                return
            status, headers, content = given
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET = answer  # noqa: N815  (the base class calls them so)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield script
    server.shutdown()
    server.server_close()


@pytest.fixture
def to_wire(settings: Settings, wire: Wire) -> Settings:
    return settings.model_copy(
        update={
            "sendgrid_base_url": wire.url,
            "twilio_base_url": wire.url,
            "webhook_url": f"{wire.url}/in?tenant=1",
            "request_timeout_seconds": 1.0,
        }
    )


@pytest.fixture
def plan_messages(engine: sa.Engine, lake: Lake) -> Callable[[str, int, int], None]:
    """A planned run of (channel, messages, batch size), as the stages before would leave it."""

    def plan(channel: str, messages: int, size: int) -> None:
        numbers = range(messages)
        at = datetime(2026, 3, 2, 9, tzinfo=UTC)
        frame = pl.DataFrame(
            {
                "message_no": pl.Series(numbers, dtype=pl.Int32),
                "batch_no": pl.Series([n // size for n in numbers], dtype=pl.Int32),
                "message_id": [f"{n:024x}" for n in numbers],
                "contact_id": [f"{n + 4096:024x}" for n in numbers],
                "address": [address(channel, n) for n in numbers],
                "variant": ["plain"] * messages,
                "locale": ["en"] * messages,
                "send_at": pl.Series([at] * messages, dtype=pl.Datetime("us", "UTC")),
                "fragments": [fragments(channel, n) for n in numbers],
                "sms_parts": pl.Series([None] * messages, dtype=pl.Int16),
            }
        )
        lake.write(frame, "messages", RUN)
        rows = [
            ("plain", "en", "t", "0" * 24, part, cut.slots, list(cut.constants))
            for part, cut in SKELETONS[channel].parts
        ]
        names = ["variant", "locale", "template", "template_hash", "part", "slots", "constants"]
        lake.write(pl.DataFrame(rows, schema=names, orient="row"), "skeletons", RUN)
        lake.write(frame.select("contact_id", status=pl.lit("planned")), "audience", RUN)
        run = {"run_id": RUN, "campaign": "spring-sale", "version": 1, "as_of": at, "state": "running"}
        with writing(engine) as connection:
            connection.execute(sa.insert(runs).values(**run, requested_by="test", created_at=at))
            content = BatchFile(lake, RUN).content_hash()
            batches = frame["batch_no"].n_unique()
            ledger.record_plan(connection, RUN, messages=messages, batches=batches, content_hash=content, at=at)

    return plan


@pytest.fixture
def openapi(shared_data: Path) -> Callable[[str], Any]:
    """The provider's own specification, by file name."""
    import orjson

    return lambda name: orjson.loads((shared_data / "openapi" / name).read_bytes())
