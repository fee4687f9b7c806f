"""Messages outside of any run: what templates read of a made-up contact, or of one that there is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from campaign_pipeline.contacts import snapshot
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.messages.compiled import RenderingError
from campaign_pipeline.messages.contact_tables import read_contact_table
from campaign_pipeline.messages.context import EXAMPLE_CODE, Needs, context_columns, needs
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.environment import RECORDS, Record
from campaign_pipeline.messages.locales import choose
from campaign_pipeline.messages.trial import Trial, idle_links, made_up, of_contact, try_out
from campaign_pipeline.operations.content import item_types, members_of
from campaign_pipeline.operations.installation import Installation

CAMPAIGN, VARIANT = "campaign", "variant"
"""What `campaign` and `variant` are in a template that is looked at without a campaign."""


def snapshot_of(installation: Installation) -> pl.DataFrame | None:
    """The contact snapshot; None before there is one."""
    lake = installation.lake
    return snapshot.read_snapshot(lake) if lake.exists(snapshot.ASSET) else None


def context_of(installation: Installation, needed: Needs, contacts: pl.Series, at: datetime) -> pl.DataFrame:
    """What templates need beside the contact (see messages/context.py); no coupon is handed out: codes are examples."""
    codes = pl.DataFrame({"contact_id": contacts, "code": pl.lit(EXAMPLE_CODE)}) if needed.coupons else pl.DataFrame()
    return context_columns(
        contacts,
        members_of(installation, needed.segments, at),
        {name: read_contact_table(installation.lake, name) for name in needed.tables},
        dict.fromkeys(needed.coupons, codes),
    )


def example_context(
    installation: Installation, template: Template, campaign: str = CAMPAIGN, variant: str = VARIANT
) -> dict[str, Any]:
    """The whole context of a made-up contact. Its links do nothing."""
    records = example_records(installation, [template])
    return {**records, **idle_links(installation.settings.public_url, campaign, variant)}


def example_records(installation: Installation, templates: Sequence[Template]) -> dict[str, Record]:
    """What `templates` read of a made-up contact: contact, segments, tables, coupons."""
    found = installation.lake.exists(snapshot.ASSET)
    fields = pl.read_parquet_schema(installation.lake.path(snapshot.ASSET)) if found else _fields()
    return made_up(templates, fields, item_types(installation.lake, needs(templates)))


def contact_context(installation: Installation, template: Template, contact: str) -> dict[str, Any]:
    """The same of a contact of the snapshot, by its id or the id that it has elsewhere. NotFound if there is none."""
    people = snapshot_of(installation)
    wanted = pl.col("contact_id").is_in([contact, contact_id(contact)])
    found = pl.DataFrame() if people is None else people.filter(wanted)
    if found.is_empty():
        raise NotFound(f"there is no contact {contact!r} in the contact snapshot", "Materialise contact_snapshot.")
    row = found.row(0, named=True)
    looked_up = context_of(installation, needs([template]), found["contact_id"][:1], installation.clock())
    records = {name: RECORDS[name](value) for name, value in looked_up.row(0, named=True).items() if name in RECORDS}
    return of_contact(template, row) | records | idle_links(installation.settings.public_url, CAMPAIGN, VARIANT)


def trials(
    installation: Installation, template: Template, contact: str | None = None, locale: str | None = None
) -> list[Trial]:
    """The template for a made-up contact in every language, or for `contact` in its own; or in `locale` only.

    InvalidInput if it cannot be rendered, or has no such language.
    """
    return [rendered(template, *each) for each in contexts(installation, template, contact, locale)]


def contexts(
    installation: Installation, template: Template, contact: str | None = None, locale: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """(language, context) of each of `trials`; the template's own language first."""
    if locale is not None and locale not in template.languages:
        raise InvalidInput(
            f"template {template.template} has no texts in {locale!r}", f"There are: {', '.join(template.languages)}."
        )
    if contact is None:
        context = example_context(installation, template)
        return [(each, context) for each in ([locale] if locale else template.languages)]
    context = contact_context(installation, template, contact)
    own = choose(context["contact"]["locale"], template.languages, template.locale)
    return [(locale or own, context)]


def rendered(template: Template, locale: str, context: Mapping[str, Any]) -> Trial:
    """The message; InvalidInput says which part and line cannot be rendered."""
    try:
        return try_out(template, locale, context)
    except RenderingError as error:
        problem = error.problem
        raise InvalidInput(
            f"template {template.template} in {locale}: {problem.part}, line {problem.line}: {problem.problem}",
            "Nulls need a default; a made-up contact takes the examples of the template's inputs.",
        ) from None


def _fields() -> dict[str, pl.DataType]:
    """What every contact has, before there is a snapshot."""
    return dict(snapshot.FIELDS)
