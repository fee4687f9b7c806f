"""One message outside of any run: for previews, contact sheets, tests and seeds. Rendered by Jinja2 alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.checks.texts import filled
from campaign_pipeline.messages.compiled import compile_template
from campaign_pipeline.messages.context import example_context, needs
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.inputs import examples, one_filled_in
from campaign_pipeline.messages.preview import example_contact
from campaign_pipeline.messages.run_context import COLUMNS, RunContext, example_links
from campaign_pipeline.messages.skeletons import MessageSkeleton, message_skeleton
from campaign_pipeline.messages.sms import sms_parts

SUBJECT_MARK = "[Test] "


@dataclass(frozen=True)
class Trial:
    """`template` in the language `locale`, for one contact."""

    template: Template
    locale: str
    skeleton: MessageSkeleton
    fragments: tuple[str, ...]

    @property
    def parts(self) -> dict[str, str]:
        """part -> its whole text."""
        return self.skeleton.assemble(self.fragments)

    @property
    def says(self) -> str:
        """What the contact reads of an SMS or a WhatsApp message; '' of an e-mail."""
        parts = self.parts
        if "content_sid" in parts:
            preview = self.template.texts(self.locale).preview or "(the approved text is not in the template: preview)"
            return filled(
                preview, {part.removeprefix("var:"): text for part, text in parts.items() if part.startswith("var:")}
            )
        return parts.get("body", "")

    @property
    def sms_parts(self) -> int | None:
        return sms_parts(self.parts["body"]) if self.template.channel is Channel.SMS else None

    def row(self, **columns: Any) -> pl.DataFrame:
        """As a row of a messages frame, with `columns` beside locale, fragments and sms_parts."""
        made = {"locale": [self.locale], "fragments": [list(self.fragments)], "sms_parts": [self.sms_parts]}
        kinds = {"fragments": pl.List(pl.String), "sms_parts": pl.Int16}
        return pl.DataFrame({**made, **{name: [value] for name, value in columns.items()}}, schema_overrides=kinds)

    def marked(self) -> "Trial":
        """The same with a subject that says that it is a test."""
        parts = [
            (part, replace(piece, constants=(SUBJECT_MARK + piece.constants[0], *piece.constants[1:])))
            if part == "subject"
            else (part, piece)
            for part, piece in self.skeleton.parts
        ]
        return replace(self, skeleton=MessageSkeleton(tuple(parts)))


def try_out(template: Template, locale: str, context: Mapping[str, Any]) -> Trial:
    """The message of one contact. Raises RenderingError."""
    compiled = compile_template(template, locale)
    fragments = tuple(compiled.render(context))
    return Trial(template, locale, message_skeleton(template, compiled, locale), fragments)


def made_up(
    templates: Sequence[Template], fields: Mapping[str, pl.DataType], items: Mapping[str, pl.DataType] | None = None
) -> dict[str, Record]:
    """What templates read of a made-up contact: contact, segments, tables and coupons.

    `fields`: those of contacts, with their types; `items`: contact table -> the type of its items.
    """
    contact = example_contact(fields)
    for template in templates:
        contact = examples(contact, template.inputs)
    return {"contact": Record(contact), **example_context(needs(templates), items)}


def of_contact(template: Template, contact: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a contact that there is; the rest of its context is made for all contacts at once."""
    return {"contact": Record(one_filled_in(contact, template.inputs))}


def idle_links(public_url: str, campaign: str, variant: str) -> dict[str, Any]:
    """The rest of a context, for messages that nobody is sent: links that do nothing."""
    return {**example_links(public_url), "campaign": campaign, "variant": variant}


def signed_links(run: RunContext, variant: str, message_id: str) -> dict[str, Any]:
    """The rest of a context, for messages that are sent: links of their own."""
    every = run.columns(COLUMNS, [message_id])
    return {**run.constants(variant), **{name: column[0] for name, column in every.items()}}
