"""Contacts that may have moved since a segment was evaluated: those with new events, and those that changed.

What an evaluation had before it is kept in the lake as `segment_inputs/<segment>`: source (String), stamp (String), one
row a file. It is written after the evaluation's row. So if that breaks off, or two write at once, it is older than the
row at worst: contacts are looked at once more, and none is missed.

Which contacts changed is told by comparing the snapshot with what it was, whatever changed it and in whatever order:
`contact_fingerprints/<stamp>` is contact_id (String, sorted) and fingerprint (UInt64, of the contact's whole row).

Looking at these contacts only is short of a full evaluation for those whom time moves: a window, a date or an
anniversary passes. It would be short for those whom others move as well: so a segment that compares contacts with each
other (a percentile, an RFM score, a limit) is looked at as a whole as soon as anybody is touched.
"""

import os
import time
from collections.abc import Iterable

import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS
from campaign_pipeline.segments.leftovers import ABANDONED

INPUTS = "segment_inputs"
INPUTS_SCHEMA = {"source": pl.String, "stamp": pl.String}
FINGERPRINTS = "contact_fingerprints"

Inputs = frozenset[tuple[str, str]]
"""(asset/partition, stamp of its file): what lay before an evaluation."""


def event_files(lake: Lake, assets: Iterable[str] = (EVENTS,)) -> Inputs:
    """The files of `assets`, whose rows say what contacts did (contact_id), as they are now."""
    return frozenset(
        (f"{asset}/{partition}", _stamp(lake.path(asset, partition).stat()))
        for asset in assets
        for partition in lake.partitions(asset)
    )


def take_fingerprints(lake: Lake) -> Inputs:
    """Keep the fingerprints of the contact snapshot as it is now, and return it as the one input that it is."""
    with lake.path(CONTACTS).open("rb") as file:  # the stamp and the rows of one file, should it be replaced meanwhile
        stamp = _stamp(os.fstat(file.fileno()))
        if not lake.exists(FINGERPRINTS, stamp):
            prints = pl.read_parquet(file).select("contact_id", fingerprint=pl.struct(pl.all()).hash())
            lake.write(prints, FINGERPRINTS, stamp)
    return frozenset({(f"{CONTACTS}/all", stamp)})


def contacts_of(inputs: Inputs) -> Inputs:
    """The snapshot among `inputs`; empty if it was not kept."""
    return frozenset(each for each in inputs if each[0] == f"{CONTACTS}/all")


def remember_inputs(lake: Lake, segment: str, inputs: Inputs) -> None:
    """Keep what lay before the evaluation of `segment`, which was kept itself already."""
    lake.write(pl.DataFrame(sorted(inputs), INPUTS_SCHEMA, orient="row"), INPUTS, segment)


def remembered_inputs(lake: Lake, segment: str) -> Inputs:
    """Empty if `segment` was not evaluated yet."""
    return frozenset(lake.read(INPUTS, segment).rows()) if lake.exists(INPUTS, segment) else frozenset()


def touched(lake: Lake, before: Inputs, now: Inputs) -> pl.Series | None:
    """contact_id (String, each once, sorted) of the contacts that have new events, are new, changed, or are gone.

    None if that cannot be told: the snapshot of then was not kept, or files of events are gone.
    """
    if not _sources(before) <= _sources(now) or not contacts_of(before) or not contacts_of(now):
        return None
    ((_, then),), ((_, today),) = contacts_of(before), contacts_of(now)
    if not lake.exists(FINGERPRINTS, then):
        return None
    found: list[pl.DataFrame] = [pl.DataFrame(schema={"contact_id": pl.String})]
    if then != today:
        old, new = lake.read(FINGERPRINTS, then), lake.read(FINGERPRINTS, today)
        both = ["contact_id", "fingerprint"]
        found += [old.join(new, on=both, how="anti"), new.join(old, on=both, how="anti")]
    for source, _ in sorted(now - before - contacts_of(now)):
        file = lake.path(*source.split("/", 1))
        found.append(pl.scan_parquet(file, glob=False).select("contact_id").unique().collect())
    return pl.concat([each.get_column("contact_id") for each in found]).unique().sort()


def remove_old_fingerprints(lake: Lake, segments: Iterable[str]) -> None:
    """Remove the fingerprints that none of `segments` (all there are) is to be compared with any more."""
    needed = {stamp for segment in segments for _, stamp in contacts_of(remembered_inputs(lake, segment))}
    for stamp in set(lake.partitions(FINGERPRINTS)) - needed:
        file = lake.path(FINGERPRINTS, stamp)
        if time.time() - file.stat().st_mtime > ABANDONED.total_seconds():  # else somebody may be at work with it
            file.unlink(missing_ok=True)


def _sources(inputs: Inputs) -> set[str]:
    return {source for source, _ in inputs}


def _stamp(file: os.stat_result) -> str:
    return f"{file.st_size}-{file.st_mtime_ns}"
