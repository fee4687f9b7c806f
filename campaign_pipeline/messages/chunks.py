"""Some of a run's messages at once: from rows of the planned audience to rows of the messages frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import message_id, message_ids
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.batches import SUBSTITUTION_LIMIT, TAG_BYTES
from campaign_pipeline.messages.compiled import CompiledTemplate, Problem, compile_template
from campaign_pipeline.messages.environment import RECORDS
from campaign_pipeline.messages.inputs import filled_in
from campaign_pipeline.messages.run_context import RunContext
from campaign_pipeline.messages.skeletons import Arm, MessageSkeleton, message_skeleton
from campaign_pipeline.messages.sms import MAX_CHARACTERS, parts_of_all
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.tracking import AS_WRITTEN, LinkRules, with_rules
from campaign_pipeline.messages.vectorised.assemble import assembled, together
from campaign_pipeline.messages.vectorised.program import Program

TOO_LONG = Problem("body", 1, f"is longer than {MAX_CHARACTERS} characters")

KEPT = ("contact_id", "address", "variant", "locale", "send_at", "window", "pace")
"""Columns of the planned audience that its messages keep."""

Failure = tuple[int, str, Problem, str]
"""Row of the chunk, template, problem, contact_id."""


@dataclass(frozen=True)
class Variant:
    """A template in one language, ready to render."""

    name: str
    locale: str
    stored: StoredTemplate
    compiled: CompiledTemplate
    skeleton: MessageSkeleton
    program: Program


@dataclass(frozen=True)
class Job:
    """What is the same for all messages of a run; it can be sent to another process."""

    context: RunContext
    templates: Mapping[str, StoredTemplate]
    links: LinkRules = AS_WRITTEN

    @cached_property
    def variants(self) -> dict[Arm, Variant]:
        """By name and locale, sorted by name. InvalidInput if a template is for another channel."""
        return {
            (name, locale): self._variant(name, locale, stored)
            for name, stored in sorted(self.templates.items())
            for locale in stored.template.languages
        }

    def _variant(self, name: str, locale: str, stored: StoredTemplate) -> Variant:
        template = stored.template
        if template.channel is not self.context.channel:
            raise InvalidInput(
                f"variant {name!r}: template {template.template!r} is for {template.channel},"
                f" the campaign is {self.context.channel}",
                f"Give the variant a template for {self.context.channel}.",
            )
        template = with_rules(template, self.links, self.context, name)
        compiled = compile_template(template, locale)
        program = Program(compiled, self.context.constants(name))
        return Variant(name, locale, stored, compiled, message_skeleton(template, compiled, locale), program)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "variants"}


@dataclass(frozen=True)
class RenderedChunk:
    """messages: rows in order, as MESSAGES_SCHEMA but without numbers, and `alone`: cannot share a request."""

    messages: pl.DataFrame
    failures: list[Failure]


def render_chunk(job: Job, chunk: pl.DataFrame) -> RenderedChunk:
    """The messages of the rows of `chunk` (contact_id, variant, locale, address, send_at, contact, and context's)."""
    found: list[pl.DataFrame] = []
    failures: list[Failure] = []
    rows = chunk.with_row_index("row")
    for (name, locale), of_variant in rows.group_by("variant", "locale", maintain_order=True):
        messages, failed = _of_variant(job, job.variants[str(name), str(locale)], of_variant)
        found.append(messages)
        failures += failed
    messages = pl.concat(found).sort("row") if len(found) > 1 else found[0]
    return RenderedChunk(messages.drop("row"), sorted(failures, key=lambda failure: failure[0]))


def _of_variant(job: Job, variant: Variant, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Failure]]:
    """The messages of one variant's rows in one language, with the column row."""
    channel = job.context.channel
    ids = message_ids(job.context.run_id, rows["contact_id"].to_list(), channel)
    fragments = variant.program.fragments(*_read(job, variant, rows, ids))
    problems = dict(fragments.problems)
    parts = pl.Series([None], dtype=pl.Int16).new_from_index(0, rows.height)
    if channel is Channel.SMS:
        body = assembled(dict(variant.skeleton.parts)["body"], fragments.columns, rows.height)
        for row in (body.str.len_chars() > MAX_CHARACTERS).arg_true().to_list():
            problems.setdefault(row, TOO_LONG)
        parts = parts_of_all(body)
    messages = rows.select("row", *(name for name in KEPT if name in rows.columns)).with_columns(
        pl.Series("message_id", ids, dtype=pl.String),
        together(fragments.columns, rows.height).alias("fragments"),
        parts.alias("sms_parts"),
        pl.lit(channel.value).alias("channel"),
        pl.lit(0, dtype=pl.Int16).alias("step"),
        _alone(channel, fragments.columns, rows.height),
    )
    template = variant.stored.template.template
    places, ids_of_contacts = rows["row"], rows["contact_id"]
    failures = [(places[row], template, problem, ids_of_contacts[row]) for row, problem in problems.items()]
    if problems:
        messages = messages.filter(~pl.int_range(pl.len()).is_in(list(problems)))
    return messages, failures


def _read(job: Job, variant: Variant, rows: pl.DataFrame, ids: list[str]) -> tuple[pl.Series, dict[str, pl.Series]]:
    """What the template reads: the contacts, and the context's other columns by name."""
    columns = job.context.columns(variant.compiled.names, ids)
    columns |= {name: rows[name] for name in RECORDS if name in rows.columns and name != "contact"}
    return filled_in(rows["contact"], variant.stored.template.inputs), columns


def reference(job: Job, rows: pl.DataFrame) -> pl.DataFrame:
    """message_id and fragments of some of a run's messages, rendered one by one by Jinja2: what they have to be.

    A message that cannot be rendered has no fragments.
    """
    found: list[tuple[str, list[str]]] = []
    for (name, locale), of_variant in rows.group_by("variant", "locale", maintain_order=True):
        variant = job.variants[str(name), str(locale)]
        contacts = of_variant["contact_id"]
        ids = [message_id(job.context.run_id, each, job.context.channel) for each in contacts]
        told = variant.program.reference(*_read(job, variant, of_variant, ids))
        found += [(each, [] if isinstance(one, Problem) else one) for each, one in zip(ids, told, strict=True)]
    return pl.DataFrame(found, schema={"message_id": pl.String, "fragments": pl.List(pl.String)}, orient="row")


def _alone(channel: Channel, fragments: list[pl.Series], height: int) -> pl.Series:
    """Which messages exceed SendGrid's limit of substitutions: see batches.py."""
    size = np.zeros(height, dtype=np.int64)
    if channel is Channel.EMAIL:
        for column in fragments:
            size += column.str.len_bytes().to_numpy() + TAG_BYTES
    return pl.Series("alone", size > SUBSTITUTION_LIMIT)
