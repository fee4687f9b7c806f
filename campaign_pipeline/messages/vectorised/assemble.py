"""Fragments put together: in a list a message, and into whole texts."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import Arm, MessageSkeleton


def together(columns: Sequence[pl.Series], height: int) -> pl.Series:
    """One List(String) a message, of one String column a slot. (`pl.concat_list` takes four times as long.)"""
    if not columns:
        return pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, height)
    slots = len(columns)
    one_after_the_other = pl.concat([column.alias("") for column in columns])
    order = np.arange(height, dtype=np.uint32)[:, None] + np.arange(slots, dtype=np.uint32)[None, :] * np.uint32(height)
    return one_after_the_other.gather(pl.Series(order.ravel())).reshape((height, slots)).arr.to_list()


def assembled(skeleton: Skeleton, fragments: Sequence[pl.Series], height: int) -> pl.Series:
    """The whole text of one part of every message."""
    texts = [pl.lit(skeleton.constants[0])]
    for fragment, constant in zip(fragments, skeleton.constants[1:], strict=True):
        texts += [pl.lit(fragment), pl.lit(constant)]
    if not fragments:
        return pl.Series(skeleton.constants, dtype=pl.String).new_from_index(0, height)
    return pl.select(pl.concat_str(texts)).to_series()


def assembled_columns(message: MessageSkeleton, fragments: Sequence[pl.Series], height: int) -> dict[str, pl.Series]:
    """part -> its whole text in every message."""
    texts: dict[str, pl.Series] = {}
    start = 0
    for part, skeleton in message.parts:
        texts[part] = assembled(skeleton, fragments[start : start + skeleton.slots], height)
        start += skeleton.slots
    return texts


def assembled_frame(skeletons: Mapping[Arm, MessageSkeleton], messages: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole texts of rows of the messages frame: a frame a variant and language, of message_id and a column a part."""
    for (name, locale), of_arm in messages.group_by("variant", "locale", maintain_order=True):
        message = skeletons[str(name), str(locale)]
        listed = of_arm["fragments"]
        fragments = [listed.list.get(slot) for slot in range(message.slots)]
        texts = assembled_columns(message, fragments, of_arm.height)
        yield of_arm.select("message_id").with_columns(**texts)
