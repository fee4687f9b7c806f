"""Rendering a run: from the frozen audience to the skeletons and messages that dispatch sends."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl
from pydantic import SecretStr

from campaign_pipeline.core.errors import Inconsistent, InvalidInput
from campaign_pipeline.core.words import AudienceStatus, Channel
from campaign_pipeline.messages.batches import Numbering
from campaign_pipeline.messages.chunks import Failure, Job, Variant, reference
from campaign_pipeline.messages.compiled import Problem
from campaign_pipeline.messages.locales import choose_all
from campaign_pipeline.messages.run_context import RunContext
from campaign_pipeline.messages.skeletons import SKELETONS_SCHEMA, Arm
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.tracking import AS_WRITTEN, LinkRules
from campaign_pipeline.messages.verify import sample_of
from campaign_pipeline.messages.workers import rendered_chunks

MESSAGES_SCHEMA: dict[str, pl.DataType] = {
    "message_no": pl.Int32(),  # 0..n-1, by send_at, window, variant, locale, pace, contact_id
    "batch_no": pl.Int32(),  # 0.., by its first message
    "message_id": pl.String(),
    "contact_id": pl.String(),
    "address": pl.String(),
    "variant": pl.String(),
    "locale": pl.String(),  # the language that it is in: the nearest that its template has to the contact's own
    "send_at": pl.Datetime("us", "UTC"),
    "fragments": pl.List(pl.String()),  # of all parts, in the order of the skeleton rows
    "sms_parts": pl.Int16(),  # null unless SMS
    "channel": pl.String(),
    "step": pl.Int16(),  # 0: the first channel that is tried; 1, 2 ...: fallbacks, each waiting for the one before
    "pace": pl.String(),  # the recipient's domain, if it has a ceiling of its own; else ""
    "window": pl.String(),  # the hours in which the contact may be written to (campaigns/quiet_hours.py); "": any
}

ORDER = ("send_at", "window", "variant", "locale", "pace", "contact_id")
"""Columns by which messages are ordered."""

Progress = Callable[[int, int], None]
"""Called with (messages done, messages in all)."""

PaceOf = Callable[[pl.Series], pl.Series]
"""Of addresses, the recipient domain of each that has a pace of its own, "" for all others."""

_SHOWN = 5


def _one_pace(addresses: pl.Series) -> pl.Series:
    return pl.Series("pace", [""]).new_from_index(0, len(addresses))


@dataclass(frozen=True)
class Rendered:
    skeletons: pl.DataFrame  # SKELETONS_SCHEMA
    messages: pl.DataFrame  # MESSAGES_SCHEMA
    sample: pl.DataFrame
    """message_id, fragments of some of the messages, by Jinja2 alone: see verify.py."""


@dataclass(frozen=True)
class Rendering:
    """As Rendered, but the messages are rendered as they are taken, slice by slice, once."""

    skeletons: pl.DataFrame
    slices: Iterator[pl.DataFrame]
    sample: pl.DataFrame

    def whole(self) -> Rendered:
        empty = pl.DataFrame(schema=MESSAGES_SCHEMA)
        return Rendered(self.skeletons, pl.concat([empty, *self.slices]), self.sample)


@dataclass
class _Failures:
    """Who could not be rendered, by template and problem, in the order of the messages."""

    contacts: dict[tuple[str, Problem], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, failures: Iterable[Failure]) -> None:
        for _row, template, problem, contact in failures:
            self.contacts[template, problem].append(contact)

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
    context: pl.DataFrame | None = None,
    links: LinkRules = AS_WRITTEN,
    workers: int = 1,
    pace: PaceOf = _one_pace,
    step: int = 0,
    numbering: Numbering | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Rendering:
    """Render one message for every planned row of `audience` (columns: see the lake).

    `templates` are by variant. `context`: by contact_id, what they need beside the contact (context.py). `links`: what
    is done with web links. `pace`: which addresses go at a pace of their own. `step`: the channel's place among
    those of the campaign, whose earlier messages `numbering` has numbered. The result depends on the arguments only:
    the same twice. Messages are ordered by send time, window, variant, language, pace and contact; a batch has one of
    each but the last, at most `batch_size` messages and no address twice, and an e-mail whose fragments exceed
    SendGrid's limit has one of its own. `workers` processes share the work of a large run (0: as many as pay on this
    machine); the result is the same.
    InvalidInput, after all were tried, if any message cannot be rendered: what, where, for whom.
    """
    planned = _planned(audience, templates, pace)
    if context is not None:
        planned = planned.join(context, on="contact_id", how="left", validate="m:1", maintain_order="left")
    order = planned.select(pl.arg_sort_by(*ORDER)).to_series()  # less than a second copy of them, sorted
    of_step = pl.lit(step, dtype=pl.Int16).alias("step")
    numbering = numbering or Numbering()
    job = Job(RunContext(run_id, campaign, channel, public_url, link_secret), dict(templates), links)

    def slices() -> Iterator[pl.DataFrame]:
        failures, done = _Failures(), 0
        numbering.begin(batch_size)
        for chunk, rendered in rendered_chunks(job, planned, workers, order):
            failures.add(rendered.failures)
            progress(done := done + chunk, planned.height)
            yield numbering.numbered(rendered.messages).with_columns(of_step).select(*MESSAGES_SCHEMA)
        failures.raise_if_any(run_id)

    skeletons = _skeletons(job.variants).with_columns(of_step)
    return Rendering(skeletons, slices(), reference(job, sample_of(planned)))


def _planned(audience: pl.DataFrame, templates: Mapping[str, StoredTemplate], pace: PaceOf) -> pl.DataFrame:
    """The rows to render."""
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED.value)
    for column in ("variant", "address", "send_at"):
        if without := planned.filter(pl.col(column).is_null())["contact_id"].head(_SHOWN).to_list():
            raise Inconsistent(f"planned contacts without {column}: {', '.join(without)}")
    if strange := set(planned["variant"].unique()) - set(templates):
        raise Inconsistent(f"the audience has variants without a template: {', '.join(sorted(strange))}")
    languages = (
        pl.when(pl.col("variant") == pl.lit(name)).then(_languages(planned["locale"], stored))
        for name, stored in templates.items()
    )
    window = pl.col("window").fill_null("") if "window" in planned.columns else pl.lit("")
    return planned.with_columns(
        pl.coalesce(*languages).alias("locale"), window.alias("window"), pace(planned["address"]).alias("pace")
    )


def _languages(tags: pl.Series, stored: StoredTemplate) -> pl.Series:
    """The language of each message, by the contacts' own locales."""
    return choose_all(tags, stored.template.languages, stored.template.locale)


def _skeletons(variants: Mapping[Arm, Variant]) -> pl.DataFrame:
    rows = [
        (*arm, variant.stored.template.template, variant.stored.hash, part, piece.slots, list(piece.constants), 0)
        for arm, variant in variants.items()
        for part, piece in variant.skeleton.parts
    ]
    return pl.DataFrame(rows, schema=SKELETONS_SCHEMA, orient="row")
