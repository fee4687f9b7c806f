"""Skeletons as they lie in the lake, and putting fragments back into them: previews, SMS, SMTP, audit.

`skeletons/<run_id>`: one row a variant, language and part, in the order in which a message's fragments follow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.messages.compiled import CompiledTemplate
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.skeleton import Skeleton

SKELETONS_SCHEMA: dict[str, pl.DataType] = {
    "variant": pl.String(),
    "locale": pl.String(),  # the language of the texts: one of the template's
    "template": pl.String(),
    "template_hash": pl.String(),
    "part": pl.String(),  # subject | html | text | body | content_sid | var:<n>
    "slots": pl.Int32(),
    "constants": pl.List(pl.String()),  # slots + 1 of them
    "step": pl.Int16(),  # as in the messages: 0, or the number of a fallback channel
}


Arm = tuple[str, str]
"""Variant and locale: messages that share one skeleton."""


@dataclass(frozen=True)
class MessageSkeleton:
    """All parts of one variant's message in one language."""

    parts: tuple[tuple[str, Skeleton], ...]

    @property
    def slots(self) -> int:
        return sum(skeleton.slots for _, skeleton in self.parts)

    def assemble(self, fragments: Sequence[str]) -> dict[str, str]:
        """part -> its whole text, from the fragments of all parts one after the other."""
        texts: dict[str, str] = {}
        start = 0
        for part, skeleton in self.parts:
            texts[part] = skeleton.assemble(fragments[start : start + skeleton.slots])
            start += skeleton.slots
        return texts


def message_skeleton(template: Template, compiled: CompiledTemplate, locale: str | None = None) -> MessageSkeleton:
    """The skeleton of a template that was compiled in `locale` (None: its own)."""
    parts = [(part.name, part.skeleton) for part in compiled.parts]
    if content_sid := template.texts(locale).content_sid:
        parts.insert(0, ("content_sid", Skeleton((content_sid,))))
    return MessageSkeleton(tuple(parts))


def read_skeletons(skeletons: pl.DataFrame, step: int = 0) -> dict[Arm, MessageSkeleton]:
    """The skeletons frame by variant and locale, of one step (files of an earlier version have only the first)."""
    if "step" in skeletons.columns:
        skeletons = skeletons.filter(pl.col("step") == step)
    rows = skeletons.select("variant", "locale", "part", "constants").iter_rows()
    return {
        arm: MessageSkeleton(tuple((part, Skeleton(tuple(constants))) for _, _, part, constants in group))
        for arm, group in groupby(rows, key=lambda row: (row[0], row[1]))
    }


def assemble(skeletons: pl.DataFrame, messages: pl.DataFrame) -> Iterator[tuple[str, dict[str, str]]]:
    """(message_id, part -> whole text) of each row of the messages frame."""
    steps = messages["step"].to_list() if "step" in messages.columns else [0] * messages.height
    by_step = {step: read_skeletons(skeletons, step) for step in set(steps)}
    rows = messages.select("message_id", "variant", "locale", "fragments").iter_rows()
    for step, (message, variant, locale, fragments) in zip(steps, rows, strict=True):
        yield message, _of_arm(by_step[step], (variant, locale)).assemble(fragments)


def _of_arm(skeletons: Mapping[Arm, MessageSkeleton], arm: Arm) -> MessageSkeleton:
    if arm not in skeletons:
        known = ", ".join(f"{variant} in {locale}" for variant, locale in skeletons) or "none"
        raise NotFound(f"variant {arm[0]!r} has no skeleton in {arm[1]}", f"There are: {known}.")
    return skeletons[arm]
