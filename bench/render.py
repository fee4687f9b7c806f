"""Messages: contacts a second from a frozen audience to what dispatch sends, for the sample e-mail and SMS.

Baseline: what everybody does, a loop over the contacts that calls Jinja2's `render` for each part.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from common import arguments, installation, progress, show, timed
from jinja2 import Environment

from campaign_pipeline.core import ids
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.links import unsubscribe_token, unsubscribe_url
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.skeletons import assemble
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.operations.apply import read_folder

SAMPLES = Path(__file__).parents[1] / "data" / "definitions"
RUN = "bench--20260302t090000z"
AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = ["Ann", "Zoë", "O'Brien", "<b>Bo</b>", "Łukasz", " Kim ", "", None]
CHECKED = 200
"""Messages that are compared with the baseline's, letter by letter."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--contacts", type=int, default=40_000, help="contacts of each channel")
    given = parser.parse_args()
    contacts = 1_000 if given.small else given.contacts
    templates = read_folder(SAMPLES).templates
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    with installation() as opened:
        for channel in (Channel.EMAIL, Channel.SMS):
            chosen = next(each for _, each in sorted(templates.items()) if each.channel is channel)
            audience = audience_of(contacts, channel)
            rendered, seconds = timed(lambda: ours(audience, chosen, opened.settings))  # noqa: B023  (called at once)
            figures[f"{channel}_contacts_per_s"] = contacts / seconds
            texts, seconds = timed(lambda: plain(audience, chosen, opened.settings))  # noqa: B023
            baseline[f"{channel}_contacts_per_s"] = contacts / seconds
            compare(rendered, texts)
    show(
        "render",
        figures,
        baseline,
        "Jinja2 render of each part in a loop over the contacts, with the same unsubscribe links",
        target={"ratio": 20, "ratio_on_two_cores": 45},
        setup={"contacts": contacts, "compared": CHECKED},
    )


def audience_of(contacts: int, channel: Channel) -> pl.DataFrame:
    """A frozen audience; names are as hostile as people's are."""
    draw = random.Random(7)
    rows = [
        {
            "contact_id": ids.contact_id(str(number)),
            "first_name": draw.choice(NAMES),
            "tier": draw.choice(["gold", "silver", "bronze", None]),
            "loyalty_points": draw.choice([None, draw.randrange(5_000)]),
        }
        for number in range(contacts)
    ]
    address = "user{}@example.com" if channel is Channel.EMAIL else "+1212{:07d}"
    return pl.DataFrame(
        {
            "contact_id": [row["contact_id"] for row in rows],
            "status": ["planned"] * contacts,
            "variant": ["plain"] * contacts,
            "address": [address.format(number) for number in range(contacts)],
            "send_at": pl.Series([AS_OF] * contacts, dtype=pl.Datetime("us", "UTC")),
            "contact": rows,
        }
    )


def ours(audience: pl.DataFrame, template: Template, settings: Settings) -> Rendered:
    with progress(f"{template.channel}, ours") as told:
        return render_run(
            audience,
            {"plain": StoredTemplate(template, 1, "0" * 24)},
            run_id=RUN,
            campaign="bench",
            channel=template.channel,
            public_url=settings.public_url,
            link_secret=settings.link_secret,
            batch_size=settings.sendgrid_batch_size,
            progress=told,
        )


def plain(audience: pl.DataFrame, template: Template, settings: Settings) -> dict[str, dict[str, str]]:
    """message_id -> part -> text."""
    parts = {
        part: Environment(autoescape=part == "html").from_string(source) for part, source in template.parts().items()
    }
    texts: dict[str, dict[str, str]] = {}
    with progress(f"{template.channel}, plain Jinja2") as told:
        contacts: list[Mapping[str, Any]] = audience["contact"].to_list()
        for number, contact in enumerate(contacts):
            message = ids.message_id(RUN, contact["contact_id"], template.channel)
            context: dict[str, Any] = {"contact": contact, "campaign": "bench", "variant": "plain"}
            if template.channel is Channel.EMAIL:
                token = unsubscribe_token(settings.link_secret, RUN, message)
                context["unsubscribe_url"] = unsubscribe_url(settings.public_url, token)
            texts[message] = {part: compiled.render(context) for part, compiled in parts.items()}
            if number % 1000 == 0:
                told(number, len(contacts))
    return texts


def compare(rendered: Rendered, texts: Mapping[str, Mapping[str, str]]) -> None:
    """AssertionError unless there is every message, and the first ones say the same."""
    assert set(rendered.messages["message_id"]) == set(texts)
    for message, parts in assemble(rendered.skeletons, rendered.messages.head(CHECKED)):
        assert parts == texts[message], f"message {message} differs from plain Jinja2's"


if __name__ == "__main__":
    main()
