"""A contact sheet: all variants and languages on one page that needs nothing else, and runs no scripts."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa
from jinja2 import Environment, PackageLoader, StrictUndefined

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import load_campaign
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.rates import Rates, read_rates
from campaign_pipeline.messages.sms import SmsSize, sms_size
from campaign_pipeline.messages.store import load_template, load_templates
from campaign_pipeline.messages.tracking import link_rules, with_utm
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import CAMPAIGN, example_context, rendered


@dataclass(frozen=True)
class Card:
    """One variant in one language. `costs`: what one message costs, by prefix of the number."""

    variant: str
    template: str
    locale: str
    parts: dict[str, str] = field(default_factory=dict[str, str])
    says: str = ""
    sms: SmsSize | None = None
    costs: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def contact_sheet(installation: Installation, names: Collection[str] = (), campaign: str | None = None) -> list[Card]:
    """A card for each language of the templates `names` (all if there are none), or of a campaign's variants."""
    if names and campaign:
        raise InvalidInput("templates and a campaign are given", "Give one or the other.")
    with reading(installation.engine) as connection:
        if campaign is None:
            chosen = [load_template(connection, name) for name in names] or list(load_templates(connection).values())
            shown = [(each.template.template, each.template) for each in chosen]
        else:
            shown = list(_variants(connection, load_campaign(connection, campaign)))
    rates = read_rates(Path(installation.settings.sms_rates)) if installation.settings.sms_rates else None
    return [
        card
        for variant, template in shown
        for card in _cards(installation, template, campaign or CAMPAIGN, variant, rates)
    ]


def write_sheet(cards: Collection[Card], out: Path, title: str) -> None:
    """The cards as one HTML file. The e-mails are in frames that may run no script and send no form."""
    environment = Environment(
        loader=PackageLoader("campaign_pipeline.operations", "pages"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("sheet.html").render(cards=cards, title=title)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


def _variants(connection: sa.Connection, campaign: Campaign) -> Iterator[tuple[str, Template]]:
    """Each variant's name and template, with the parameters that its web links get."""
    for variant in campaign.variants:
        template = load_template(connection, variant.template).template
        yield (
            variant.name,
            with_utm(template, link_rules(campaign), campaign.channel, campaign.campaign, variant.name),
        )


def _cards(
    installation: Installation, template: Template, campaign: str, variant: str, rates: Rates | None
) -> Iterator[Card]:
    context = example_context(installation, template, campaign, variant)
    for locale in template.languages:
        card = Card(variant, template.template, locale)
        try:
            trial = rendered(template, locale, context)
        except InvalidInput as error:
            yield replace(card, problem=error.message)
            continue
        yield replace(
            card,
            parts=trial.parts,
            says=trial.says,
            sms=sms_size(trial.parts["body"]) if template.channel is Channel.SMS else None,
            costs=tuple(_costs(rates, template.channel, trial.sms_parts or 1)) if rates else (),
        )


def _costs(rates: Rates, channel: Channel, parts: int) -> Iterator[tuple[str, str]]:
    for prefix, rate in rates.of(channel).items():
        yield prefix, f"{(rate * parts).normalize():f} {rates.currency}"
