"""Skeletons as they lie in the lake, and putting fragments back into them: previews, SMS, SMTP, audit.

`skeletons/<run_id>`: one row a variant and part, in the order in which a message's fragments follow.
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
    "template": pl.String(),
    "template_hash": pl.String(),
    "part": pl.String(),  # subject | html | text | body | content_sid | var:<n>
    "slots": pl.Int32(),
    "constants": pl.List(pl.String()),  # slots + 1 of them
}


@dataclass(frozen=True)
class MessageSkeleton:
    """All parts of one variant's message."""

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


def message_skeleton(template: Template, compiled: CompiledTemplate) -> MessageSkeleton:
    parts = [(part.name, part.skeleton) for part in compiled.parts]
    if template.content_sid:
        parts.insert(0, ("content_sid", Skeleton((template.content_sid,))))
    return MessageSkeleton(tuple(parts))


def read_skeletons(skeletons: pl.DataFrame) -> dict[str, MessageSkeleton]:
    """The skeletons frame by variant."""
    rows = skeletons.select("variant", "part", "constants").iter_rows()
    return {
        variant: MessageSkeleton(tuple((part, Skeleton(tuple(constants))) for _, part, constants in group))
        for variant, group in groupby(rows, key=lambda row: row[0])
    }


def assembled_parts(skeletons: pl.DataFrame, variant: str, fragments: Sequence[str]) -> dict[str, str]:
    """part -> whole text of one message. For many messages use `assemble`, which reads the skeletons once."""
    return _of_variant(read_skeletons(skeletons), variant).assemble(fragments)


def assemble(skeletons: pl.DataFrame, messages: pl.DataFrame) -> Iterator[tuple[str, dict[str, str]]]:
    """(message_id, part -> whole text) of each row of the messages frame."""
    by_variant = read_skeletons(skeletons)
    for message, variant, fragments in messages.select("message_id", "variant", "fragments").iter_rows():
        yield message, _of_variant(by_variant, variant).assemble(fragments)


def _of_variant(skeletons: Mapping[str, MessageSkeleton], variant: str) -> MessageSkeleton:
    if variant not in skeletons:
        raise NotFound(f"variant {variant!r} has no skeleton", f"There are: {', '.join(skeletons) or 'none'}.")
    return skeletons[variant]
