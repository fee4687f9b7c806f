"""A whole run of a million e-mails: segment, audience, messages, plan, dispatch and settlement, to a sandbox process.

The product's own functions for each stage, as Dagster's assets call them; contacts and their snapshot are made before.
Baseline: what everybody writes first, in the same run and to the same sandbox: Jinja2 and the SendGrid SDK in a loop,
one request a contact, without ledger.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import jinja2
import polars as pl
from common import arguments, installation, progress, sandbox, show, timed, usage
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Content, CustomArg, Mail

from campaign_pipeline import ALLOCATOR
from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, load_run, request_run
from campaign_pipeline.contacts.bulk import insert_frame
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import consents, contacts
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.runs import (
    check_audience,
    check_written,
    freeze_audience,
    plan_dispatch,
)
from campaign_pipeline.operations.sending import send_channel, settle_run
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.sandbox.ground_truth import read_sends
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.session import open_session
from campaign_pipeline.segments.store import apply_segment, load_segments

T = TypeVar("T")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
CHUNK = 100_000
HTML = (
    "<html><body><p>Dear {{ contact.first_name }},</p>"
    + "<p>Three months of grey are enough.</p>" * 40
    + '<p>{% if contact.country == "DE" %}You have early access.{% else %}Spring starts on Monday.{% endif %}</p>'
    '<p><a href="https://shop.example.com/spring">To the shop</a></p>'
    '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>'
)
TEXT = "Dear {{ contact.first_name }}, spring starts on Monday. Unsubscribe: {{ unsubscribe_url }}"
SUBJECTS = {"plain": "Spring, {{ contact.first_name }}", "emoji": "\U0001f337 Spring, {{ contact.first_name }}"}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--plain", type=int, default=500, help="contacts of the baseline")
    given = parser.parse_args()
    if given.small:
        given.contacts, given.plain = 2_000, 20
    load = os.getloadavg()[0]
    server: dict[str, float] = {}
    with installation() as made:
        prepared = timed(lambda: in_another_process(prepare, made.settings, given.contacts))[1]
        with sandbox(made.settings, used=server) as settings:
            stages, used = in_another_process(measure, settings)
            plain = timed(lambda: plain_loop(settings, given.plain))[1]
            sent = read_sends(settings.sandbox_dir).filter(pl.col("run_id") != "")
            assert sent.height == sent["message_id"].n_unique() == given.contacts, f"{sent.height} sent"
    whole = sum(stages.values())
    show(
        "million",
        {
            "messages_per_s": given.contacts / whole,
            "whole_run_s": whole,
            **{f"{stage}_s": value for stage, value in stages.items()},
            "processor_s": used["cpu_s"],
            "peak_memory_mb": used["peak_memory_mb"],
            **{f"sandbox_{name}": value for name, value in server.items()},
            "contacts_and_snapshot_s": prepared,
        },
        {"messages_per_s": given.plain / plain},
        "Jinja2 and the SendGrid SDK in a loop, one request a contact, without ledger",
        target={"whole_run_s": 60, "peak_memory_mb": 1024},
        setup=vars(given)
        | {"server": "sandbox in another process, accept_only", "database": "sqlite"}
        | {"load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1)},
    )


def in_another_process(work: Callable[..., T], *given: object) -> T:
    """What `work` returns. What it holds in memory is its own, and nobody else's."""
    os.environ["_RJEM_MALLOC_CONF"] = ALLOCATOR  # as in every process of the product: this one imported Polars first
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *given).result()


def measure(settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """The run: seconds of each stage, and what its process used for it."""
    opened = Installation(settings)
    before = usage()
    stages = run_campaign(opened)
    used = usage()
    opened.engine.dispose()
    return stages, used | {"cpu_s": used["cpu_s"] - before["cpu_s"]}


def prepare(settings: Settings, count: int) -> None:
    """`count` contacts and their snapshot."""
    opened = Installation(settings)
    make_contacts(opened, count)
    take_snapshot(opened)
    opened.engine.dispose()


def make_contacts(opened: Installation, count: int) -> None:
    """Contacts with consent, straight into the tables."""
    with progress("contacts") as told:
        for start in range(0, count, CHUNK):
            numbers = pl.int_range(start, min(start + CHUNK, count), eager=True)
            ids = pl.DataFrame({"number": numbers}).select(
                contact_id=pl.format("{}", pl.col("number").cast(pl.String).str.zfill(24)),
                number="number",
            )
            people = ids.select(
                "contact_id",
                external_id=pl.format("u{}", "number"),
                email=pl.format("user{}@example.com", "number"),
                first_name=pl.format("Ann{}", pl.col("number") % 5_000),
                locale=pl.lit("en"),
                country=pl.lit("DE"),
                timezone=pl.lit("Europe/Berlin"),
                attributes=pl.when(pl.col("number") % 3 == 0)
                .then(pl.lit('{"tier": "gold"}'))
                .otherwise(pl.lit('{"tier": "none"}')),
                created_at=pl.lit("2026-01-01 00:00:00.000000"),
                updated_at=pl.lit("2026-01-01 00:00:00.000000"),
            )
            said = ids.select(
                "contact_id",
                channel=pl.lit("email"),
                purpose=pl.lit("marketing"),
                state=pl.lit("granted"),
                source=pl.lit("bench"),
                evidence=pl.lit("{}"),
                recorded_at=pl.lit("2026-01-01 00:00:00.000000"),
            )
            with writing(opened.engine) as connection:
                insert_frame(connection, contacts, people)
                insert_frame(connection, consents, said)
            told(start + len(numbers), count)


def run_campaign(opened: Installation) -> dict[str, float]:
    """Seconds of each stage of one run, from the segment to its completion."""
    segment = Segment.model_validate({"segment": "all", "where": {"trait": {"field": "country", "in": ["DE"]}}})
    variants = [{"name": name, "weight": 50, "template": f"spring_{name}"} for name in SUBJECTS]
    campaign = Campaign.model_validate(
        {"campaign": "million", "channel": "email", "segment": "all", "variants": variants}
    )
    with writing(opened.engine) as connection:
        for name, subject in SUBJECTS.items():
            parts = {"subject": subject, "html": HTML, "text": TEXT}
            template = Template.model_validate({"template": f"spring_{name}", "channel": "email", **parts})
            apply_template(connection, template, AT)
        apply_segment(connection, segment, AT)
        apply_campaign(connection, campaign, AT)
        run_id = request_run(connection, "million", AT, requested_by="bench", at=AT)
    seconds: dict[str, float] = {}
    seconds["segment"] = timed(lambda: write_members(opened, run_id))[1]
    seconds["audience"] = timed(lambda: check_audience(opened, *freeze_audience(opened, run_id)))[1]
    seconds["messages"] = timed(lambda: render(opened, run_id))[1]
    seconds["plan"] = timed(lambda: plan_dispatch(opened, run_id))[1]
    with progress("sent"):
        seconds["dispatch"] = timed(lambda: send_channel(opened, run_id, Channel.EMAIL, worker_name="bench"))[1]
    settled, seconds["settle"] = timed(lambda: settle_run(opened, run_id))
    assert settled.state == RunState.COMPLETED, f"{run_id} is {settled.state}: {settled.counts()}"
    return seconds


def write_members(opened: Installation, run_id: str) -> None:
    with reading(opened.engine) as connection:
        run, library = load_run(connection, run_id), load_segments(connection)
    with open_session(opened.lake) as session:
        found = members(session, library[run.campaign.segment], library, run.as_of)
    opened.lake.write(found, "segment_members", run_id)


def render(opened: Installation, run_id: str) -> None:
    run, messages, gate = write_messages(opened, run_id)
    assert gate.passed, gate.description
    check_written(opened, run, messages)


def plain_loop(settings: Settings, count: int) -> None:
    api = SendGridAPIClient(settings.sendgrid_api_key.get_secret_value(), host=settings.sendgrid_base_url)
    environment = jinja2.Environment(autoescape=True)
    subject, html = environment.from_string(SUBJECTS["plain"]), environment.from_string(HTML)
    for number in range(count):
        contact = {"first_name": f"Ann{number}", "country": "DE"}
        context = {"contact": contact, "unsubscribe_url": f"http://127.0.0.1:8991/u/{number}"}
        text = Content("text/html", html.render(context))
        mail = Mail(settings.email_from, f"user{number}@example.com", subject.render(context), text)
        mail.add_custom_arg(CustomArg("message_id", f"plain{number}"))
        assert api.send(mail).status_code == 202


if __name__ == "__main__":
    sys.exit(main())
