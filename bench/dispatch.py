"""Dispatch: messages a second through `send_due`, ledger included, to a sandbox in another process.

Baseline: the provider's SDK in a plain loop, one recipient a request, on fewer messages, to the same sandbox.
"""

import argparse
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import polars as pl
from common import arguments, installation, progress, sandbox, show, timed, trusted_certificate
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Content, CustomArg, Mail
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.worker import send_due
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.sandbox.ground_truth import read_sends

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
TEXT = "Spring is here, {}. Unsubscribe: http://127.0.0.1:8991/u/{}"
HTML = "<p>Dear {},</p>" + "<p>Three months of grey are enough.</p>" * 50 + '<p><a href="{}">Unsubscribe</a></p>'
PARTS = {Channel.EMAIL: {"subject": "Hello {}", "html": HTML, "text": TEXT}, Channel.SMS: {"body": TEXT}}
"""About 2 KB of HTML; each {} is one fragment of every message."""


def main() -> None:
    given = options()
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    with installation(twilio_concurrency=given.concurrency) as opened:
        with sandbox(opened.settings) as settings:
            measure(opened, settings, given, "", figures, baseline)
        with trusted_certificate(opened.settings.data_dir) as file, sandbox(opened.settings, file) as settings:
            measure(opened, settings, given, "tls_", figures, baseline)
    show(
        "dispatch",
        figures,
        baseline,
        "the SDK in a loop, one recipient a request, without a ledger",
        target={"sendgrid_messages_per_s": 100_000, "twilio_messages_per_s": 4_000, "ratio": 4},
        setup=vars(given) | {"server": "sandbox in another process, accept_only, without hashes of bodies"},
    )


def measure(
    opened: Installation,
    settings: Settings,
    given: argparse.Namespace,
    how: str,
    figures: dict[str, float],
    baseline: dict[str, float],
) -> None:
    """Adds `<provider>_<how>messages_per_s` to both, and to `figures` the processor's time of this process."""
    for channel, provider, messages, size, sdk in (
        (Channel.EMAIL, "sendgrid", given.emails, given.email_batch, plain_sendgrid),
        (Channel.SMS, "twilio", given.texts, given.text_batch, plain_twilio),
    ):
        run_id = f"bench-{channel}-{how.strip('_')}--20260302t090000z".replace("---", "--")
        plan(opened, run_id, channel, messages, size)
        seconds, processor = ours(opened, settings, run_id, channel, given.senders)
        figures[f"{provider}_{how}messages_per_s"] = messages / seconds
        figures[f"{provider}_{how}cpu_us_per_message"] = processor / messages * 1e6
        few = given.plain // 10 if how and channel is Channel.EMAIL else given.plain  # a TLS context a request
        baseline[f"{provider}_{how}messages_per_s"] = few / timed(partial(sdk, settings, few))[1]
        sent = read_sends(settings.sandbox_dir).filter(pl.col("run_id") == run_id)
        assert sent.height == sent["message_id"].n_unique() == messages, f"{sent.height} of {messages} arrived"


def options() -> argparse.Namespace:
    defaults = Settings.model_fields
    parser = arguments(__doc__ or "")
    parser.add_argument("--emails", type=int, default=200_000)
    parser.add_argument("--texts", type=int, default=8_000)
    parser.add_argument("--plain", type=int, default=500, help="messages of each baseline")
    parser.add_argument("--senders", type=int, default=4, help="threads that send")
    parser.add_argument("--email-batch", type=int, default=defaults["sendgrid_batch_size"].default)
    parser.add_argument("--text-batch", type=int, default=defaults["twilio_batch_size"].default)
    parser.add_argument("--concurrency", type=int, default=defaults["twilio_concurrency"].default)
    given = parser.parse_args()
    if given.small:
        given.emails, given.texts, given.plain = 1_000, 100, 20
    return given


def plan(opened: Installation, run_id: str, channel: Channel, messages: int, size: int) -> None:
    """A planned run as the stages before leave it: skeletons, messages, and the plan in the ledger."""
    parts = [(part, text.split("{}")) for part, text in PARTS[channel].items()]
    rows = [("plain", "en", "bench", "0" * 24, part, len(texts) - 1, texts) for part, texts in parts]
    schema = ["variant", "locale", "template", "template_hash", "part", "slots", "constants"]
    opened.lake.write(pl.DataFrame(rows, schema=schema, orient="row"), "skeletons", run_id)
    slots = sum(row[5] for row in rows)
    numbers = range(messages)
    frame = pl.DataFrame(
        {
            "message_no": pl.Series(numbers, dtype=pl.Int32),
            "batch_no": pl.Series([number // size for number in numbers], dtype=pl.Int32),
            "message_id": [f"{number:024x}" for number in numbers],
            "contact_id": [f"{number:024x}" for number in numbers],
            "address": [address(channel, number) for number in numbers],
            "variant": ["plain"] * messages,
            "locale": ["en"] * messages,
            "send_at": pl.Series([AT] * messages, dtype=pl.Datetime("us", "UTC")),
            "fragments": [[f"Ann {number}"] * slots for number in numbers],
        }
    )
    opened.lake.write(frame, "messages", run_id)
    content, batches = BatchFile(opened.lake, run_id).content_hash(), frame["batch_no"].n_unique()
    with writing(opened.engine) as connection:
        ledger.record_plan(connection, run_id, messages=messages, batches=batches, content_hash=content, at=AT)


def ours(opened: Installation, settings: Settings, run_id: str, channel: Channel, senders: int) -> tuple[float, float]:
    """Seconds to send all of the run, and of these the processor's in this process."""
    with open_channel(channel, settings) as provider, progress(f"{channel}, ours") as told:
        options = {"worker": "bench", "clock": opened.clock, "senders": senders, "progress": told}
        before = time.process_time()
        sent, seconds = timed(lambda: send_due(opened.engine, opened.lake, run_id, provider, **options))
        processor = time.process_time() - before
    assert set(sent.outcomes) == {Outcome.ACCEPTED}, str(sent)
    return seconds, processor


def plain_sendgrid(settings: Settings, messages: int) -> None:
    api = SendGridAPIClient(settings.sendgrid_api_key.get_secret_value(), host=settings.sendgrid_base_url)
    with progress("email, plain SDK") as told:
        for number in range(messages):
            to, name = address(Channel.EMAIL, number), f"Ann {number}"
            html, text = Content("text/html", HTML.format(name, name)), Content("text/plain", TEXT.format(name, name))
            mail = Mail(settings.email_from, to, f"Hello {name}", text, html)
            mail.add_custom_arg(CustomArg("message_id", f"plain{number}"))
            assert api.send(mail).status_code == 202
            told(number, messages)


class Local(TwilioHttpClient):
    """The SDK's HTTP client with another scheme and host, for which it has no setting."""

    def __init__(self, base: str, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._base = urlsplit(base)

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        target = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc).geturl()
        return super().request(method, target, *args, **options)


def plain_twilio(settings: Settings, messages: int) -> None:
    transport = Local(settings.twilio_base_url, settings.request_timeout_seconds)
    client = Client(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value(), http_client=transport)
    with progress("sms, plain SDK") as told:
        for number in range(messages):
            to, body = address(Channel.SMS, number), TEXT.format(f"Ann {number}", number)
            assert client.messages.create(to=to, from_=settings.twilio_from, body=body).sid
            told(number, messages)


def address(channel: Channel, number: int) -> str:
    return f"user{number}@example.com" if channel is Channel.EMAIL else f"+1212{2_000_000 + number}"


if __name__ == "__main__":
    main()
