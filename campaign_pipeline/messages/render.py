"""Rendering a run: from the frozen audience to the skeletons and messages that dispatch sends."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import SecretStr

from campaign_pipeline.core.errors import Inconsistent, InvalidInput
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.words import AudienceStatus, Channel
from campaign_pipeline.messages.batches import BatchCutter, fits_substitutions
from campaign_pipeline.messages.compiled import CompiledTemplate, Problem, RenderingError, compile_template
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.links import unsubscribe_token, unsubscribe_url
from campaign_pipeline.messages.skeletons import SKELETONS_SCHEMA, MessageSkeleton, message_skeleton
from campaign_pipeline.messages.sms import MAX_CHARACTERS, sms_parts
from campaign_pipeline.messages.store import StoredTemplate

MESSAGES_SCHEMA: dict[str, pl.DataType] = {
    "message_no": pl.Int32(),  # 0..n-1, by send_at, variant, contact_id
    "batch_no": pl.Int32(),  # 0.., by its first message
    "message_id": pl.String(),
    "contact_id": pl.String(),
    "address": pl.String(),
    "variant": pl.String(),
    "send_at": pl.Datetime("us", "UTC"),
    "fragments": pl.List(pl.String()),  # of all parts, in the order of the skeleton rows
    "sms_parts": pl.Int16(),  # null unless SMS
}

Progress = Callable[[int, int], None]
"""Called with (messages done, messages in all)."""

_CHUNK = 10_000
_SHOWN = 5

Row = tuple[str, str, str, datetime]
"""contact_id, variant, address, send_at"""


@dataclass(frozen=True)
class Rendered:
    skeletons: pl.DataFrame  # SKELETONS_SCHEMA
    messages: pl.DataFrame  # MESSAGES_SCHEMA


@dataclass(frozen=True)
class _Variant:
    name: str
    stored: StoredTemplate
    compiled: CompiledTemplate
    skeleton: MessageSkeleton


@dataclass(frozen=True)
class _Job:
    """What is the same for all messages of a run."""

    run_id: str
    campaign: str
    channel: Channel
    public_url: str
    link_secret: SecretStr
    variants: Mapping[str, _Variant]

    def fragments(self, variant: _Variant, message: str, contact: Mapping[str, Any]) -> list[str]:
        context: dict[str, Any] = {"contact": Record(contact), "campaign": self.campaign, "variant": variant.name}
        if variant.compiled.needs_unsubscribe_url:
            token = unsubscribe_token(self.link_secret, self.run_id, message)
            context["unsubscribe_url"] = unsubscribe_url(self.public_url, token)
        return variant.compiled.render(context)

    def sms_parts(self, variant: _Variant, fragments: list[str]) -> int | None:
        if self.channel is not Channel.SMS:
            return None
        body = variant.skeleton.assemble(fragments)["body"]
        if len(body) > MAX_CHARACTERS:
            raise RenderingError(Problem("body", 1, f"is longer than {MAX_CHARACTERS} characters"))
        return sms_parts(body)


@dataclass
class _Failures:
    """Who could not be rendered, by template and problem, in the order of the messages."""

    contacts: dict[tuple[str, Problem], list[str]] = field(default_factory=lambda: defaultdict(list))

    def raise_if_any(self, run_id: str) -> None:
        if not self.contacts:
            return
        lines = [
            f"template {template}: {problem.part}, line {problem.line}: {problem.problem}"
            f" (contacts: {len(ids)}; first {', '.join(ids[:_SHOWN])})"
            for (template, problem), ids in self.contacts.items()
        ]
        more = [f"... and {len(lines) - _SHOWN} more problems"] if len(lines) > _SHOWN else []
        raise InvalidInput(
            "\n  ".join([f"{run_id} cannot be rendered, so nothing of it will be sent", *lines[:_SHOWN], *more]),
            "Nulls need {{ contact.x | default('...', true) }} or {% if contact.x %}; then: campaigns apply DIR",
        )


def render_run(
    audience: pl.DataFrame,
    templates: Mapping[str, StoredTemplate],
    *,
    run_id: str,
    campaign: str,
    channel: Channel,
    public_url: str,
    link_secret: SecretStr,
    batch_size: int,
    progress: Progress = lambda _done, _total: None,
) -> Rendered:
    """Render one message for every planned row of `audience` (columns: see the lake).

    `templates` are by variant. The result depends on the arguments only: the same twice. Messages are ordered
    by send time, variant and contact; a batch has one variant, one send time, at most `batch_size` messages and
    no address twice, and an e-mail whose fragments exceed SendGrid's limit has one of its own.
    InvalidInput, after all were tried, if any message cannot be rendered: what, where, for whom.
    """
    planned = _planned(audience, templates)
    variants = {name: _variant(name, stored, channel) for name, stored in sorted(templates.items())}
    job = _Job(run_id, campaign, channel, public_url, link_secret, variants)
    failures, cutter = _Failures(), BatchCutter(batch_size)
    frames = [pl.DataFrame(schema=MESSAGES_SCHEMA)]
    for start in range(0, planned.height, _CHUNK):
        chunk = planned.slice(start, _CHUNK)
        columns = list(zip(*_messages(job, chunk, start, cutter, failures), strict=True))
        if columns:
            frames.append(pl.DataFrame(columns, schema=MESSAGES_SCHEMA, orient="col"))
        progress(start + chunk.height, planned.height)
    failures.raise_if_any(run_id)
    return Rendered(_skeletons(variants), pl.concat(frames))


def _messages(
    job: _Job, chunk: pl.DataFrame, start: int, cutter: BatchCutter, failures: _Failures
) -> Iterator[tuple[Any, ...]]:
    """The rows of MESSAGES_SCHEMA for a chunk of the planned audience, `start` rows into it."""
    rows: Iterator[Row] = chunk.select("contact_id", "variant", "address", "send_at").iter_rows()
    contacts: list[dict[str, Any]] = chunk["contact"].to_list()
    for number, (row, contact) in enumerate(zip(rows, contacts, strict=True), start):
        contact_id, name, address, send_at = row
        variant = job.variants[name]
        message = message_id(job.run_id, contact_id, job.channel)
        try:
            fragments = job.fragments(variant, message, contact)
            parts = job.sms_parts(variant, fragments)
        except RenderingError as error:
            failures.contacts[variant.stored.template.template, error.problem].append(contact_id)
            continue
        alone = job.channel is Channel.EMAIL and not fits_substitutions(fragments)
        batch = cutter.batch_of((send_at, name), address, alone=alone)
        yield number, batch, message, contact_id, address, name, send_at, fragments, parts


def _planned(audience: pl.DataFrame, templates: Mapping[str, StoredTemplate]) -> pl.DataFrame:
    """The rows to render, in the order of the messages."""
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED.value)
    for column in ("variant", "address", "send_at"):
        if without := planned.filter(pl.col(column).is_null())["contact_id"].head(_SHOWN).to_list():
            raise Inconsistent(f"planned contacts without {column}: {', '.join(without)}")
    if strange := set(planned["variant"].unique()) - set(templates):
        raise Inconsistent(f"the audience has variants without a template: {', '.join(sorted(strange))}")
    return planned.sort("send_at", "variant", "contact_id")


def _variant(name: str, stored: StoredTemplate, channel: Channel) -> _Variant:
    template = stored.template
    if template.channel is not channel:
        raise InvalidInput(
            f"variant {name!r}: template {template.template!r} is for {template.channel}, the campaign is {channel}",
            f"Give the variant a template for {channel}.",
        )
    compiled = compile_template(template)
    return _Variant(name, stored, compiled, message_skeleton(template, compiled))


def _skeletons(variants: Mapping[str, _Variant]) -> pl.DataFrame:
    rows = [
        (name, variant.stored.template.template, variant.stored.hash, part, piece.slots, list(piece.constants))
        for name, variant in variants.items()
        for part, piece in variant.skeleton.parts
    ]
    return pl.DataFrame(rows, schema=SKELETONS_SCHEMA, orient="row")
