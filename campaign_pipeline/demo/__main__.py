"""`make demo`: from made-up contacts to an A/B result, through Dagster and the real SDKs, against the sandbox.

What recipients do is set in behaviour.json, by variant: the truth that the A/B result should find. The
campaigns run as of DEMO_DATE on every machine, so that every demo plans the same messages, and the clock is set
back to some hours later: by then SMS and WhatsApp have come out of everybody's quiet hours.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from campaign_pipeline.campaigns.store import load_run, request_run
from campaign_pipeline.cli.output import console, progress_bar, show_error
from campaign_pipeline.cli.results import show_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.defs.automation import publish_results, summarise_contacts
from campaign_pipeline.defs.freshness import Request
from campaign_pipeline.defs.launch import dagster_instance, execute, follow_behaviour, run_and_wait, take_in_events
from campaign_pipeline.demo.orders import buy_later
from campaign_pipeline.demo.people import DEMO_DATE
from campaign_pipeline.demo.servers import free_ports, server
from campaign_pipeline.demo.town import PEOPLE, take_in_people
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reports import publish_report
from campaign_pipeline.sandbox.client import SandboxClient

CAMPAIGNS = ("spring-sale", "win-back", "vip-preview")
BEHAVIOUR = Path(__file__).with_name("behaviour.json")
NOW = DEMO_DATE + timedelta(hours=8)
"""What the clock reads: 18:00 in Paris, 09:00 in Los Angeles."""
EVENTS_SECONDS = 60.0
"""How long the demo waits until the sandbox has posted everything."""


def main() -> None:
    started = time.monotonic()
    os.environ.update(_environment())
    installation = Installation(load_settings())
    sandbox = SandboxClient(installation.settings.sendgrid_base_url)
    receiver_url, logs = installation.settings.public_url, installation.settings.data_dir / "demo"
    with _stage("Database, folders and definitions"):
        installation.initialise()
        apply_folder(installation, SAMPLE_DEFINITIONS_DIR)
    with _stage(f"{PEOPLE:,} made-up contacts, their consent and their purchases"):
        take_in_people(installation, logs)
    with (
        server("sandbox", ["sandbox", "--behaviour", str(BEHAVIOUR)], f"{sandbox.url}/sandbox/health", logs),
        server("receiver", ["serve"], f"{receiver_url}/healthz", logs),
        dagster_instance() as instance,
    ):
        before = _sends(sandbox)
        run_ids = [_request(installation, campaign) for campaign in CAMPAIGNS]
        for campaign, run_id in zip(CAMPAIGNS, run_ids, strict=True):
            with _stage(f"Campaign {campaign}: audience, messages, dispatch"):
                run_and_wait(installation, instance, run_id)
        sent = _sends(sandbox) - before
        with _stage("Deliveries, opens, clicks, replies and opt-outs coming back"):
            sandbox.wait_until_idle(EVENTS_SECONDS)
        with _stage("Events to facts, metrics and A/B results"):
            take_in_events(instance)
        with _stage("Orders that followed, to conversions and what the holdout says of them"):
            buy_later(installation, logs, run_ids[0])
            follow_behaviour(installation, instance)
            execute(instance, Request(summarise_contacts.name))
            execute(instance, Request(publish_results.name, run_ids[0]))
    report = publish_report(installation, run_ids, "demo").resolve()
    for run_id in run_ids:
        with reading(installation.engine) as connection:
            run = load_run(connection, run_id)
        show_run(installation, run)
    _say_goodbye(report, sent, time.monotonic() - started)


def _environment() -> dict[str, str]:
    """The demo's settings: servers on free ports, and a clock that reads NOW."""
    sandbox_port, receiver_port = free_ports(2)
    sandbox = f"http://127.0.0.1:{sandbox_port}"
    return {
        "CAMPAIGN_LIVE_SENDING": "false",
        "CAMPAIGN_SENDGRID_BASE_URL": sandbox,
        "CAMPAIGN_TWILIO_BASE_URL": sandbox,
        "CAMPAIGN_PUBLIC_URL": f"http://127.0.0.1:{receiver_port}",
        "CAMPAIGN_CLOCK_OFFSET_SECONDS": str((NOW - datetime.now(UTC)).total_seconds()),
    }


def _request(installation: Installation, campaign: str) -> str:
    """The run of the demo's moment: the same one, however often the demo is run."""
    with writing(installation.engine) as connection:
        return request_run(connection, campaign, DEMO_DATE, requested_by="demo", at=installation.clock())


@contextmanager
def _stage(what: str) -> Generator[None]:
    started = time.monotonic()
    with progress_bar() as progress:
        progress.add_task(what, total=None)
        yield
    console.print(f"[green]✓[/] {what}  [dim]{time.monotonic() - started:.1f} s[/]")


def _sends(sandbox: SandboxClient) -> int:
    """Messages that ever left, by the ground truth."""
    return sum(sandbox.stats()["physical_sends"].values())


def _say_goodbye(report: Path, sent: int, seconds: float) -> None:
    console.print(f"\n[bold]{sent:,} messages were sent in this run of the demo[/], in {seconds:.0f} s.")
    if not sent:
        console.print("They had all been sent before: the ledger knows, so nobody gets anything twice.")
    console.print(f"Report: [bold]{report}[/]")
    console.print(
        "\nTry next:\n"
        "  make dev                                    the Dagster UI, with these runs in it\n"
        "  .venv/bin/campaigns results spring-sale     these figures again\n"
        "  .venv/bin/campaigns segments preview recent_buyers --as-of 2026-03-02\n"
        "                                              who is in a segment, line by line"
    )


if __name__ == "__main__":
    try:
        main()
    except CampaignError as error:
        show_error(error, as_json=False)
        sys.exit(error.exit_code)
