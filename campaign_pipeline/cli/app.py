"""The commands, gathered; and the one place where an error becomes a message and an exit code."""

import sys

import typer

from campaign_pipeline.cli import (
    content,
    data,
    dictionary,
    doubts,
    experiments,
    inbox,
    labels,
    machines,
    messages,
    people,
    privacy,
    quiet_hours,
    reports,
    results,
    rollouts,
    runs,
    segments,
    senders,
    servers,
    setup,
    suppressions,
    templates,
)
from campaign_pipeline.cli.output import show_error
from campaign_pipeline.core.errors import CampaignError

app = typer.Typer(
    name="campaigns",
    help="Marketing campaigns as a data pipeline: every planned message is accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
for group in (setup, runs, results, reports, dictionary, quiet_hours, machines, servers):
    group.register(app)
privacy.register(data.contacts)
app.add_typer(data.contacts, name="contacts")
app.add_typer(people.attributes, name="attributes")
app.add_typer(labels.lists, name="lists")
app.add_typer(labels.tags, name="tags")
app.add_typer(suppressions.suppressions, name="suppressions")
inbox.register(data.events)
app.add_typer(data.events, name="events")
app.add_typer(doubts.doubts, name="doubts")
app.add_typer(senders.senders, name="senders")
app.add_typer(segments.segments, name="segments")
app.add_typer(templates.templates, name="templates")
app.add_typer(messages.messages, name="messages")
app.add_typer(content.tables, name="tables")
app.add_typer(content.coupons, name="coupons")
app.add_typer(content.media, name="media")
app.add_typer(experiments.experiments, name="experiments")
app.add_typer(rollouts.rollouts, name="rollouts")


def main() -> None:
    """Entry of the `campaigns` command: exit code 0 only on success."""
    try:
        app()
    except CampaignError as error:
        show_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
