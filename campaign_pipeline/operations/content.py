"""What messages take from elsewhere: segments, contact tables, coupon codes and media."""

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import ENDED, run_state
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import claims
from campaign_pipeline.core.versions import Change
from campaign_pipeline.core.words import AudienceStatus
from campaign_pipeline.messages.contact_tables import item_type, read_contact_table, tables
from campaign_pipeline.messages.context import Needs, context_columns, needs
from campaign_pipeline.messages.coupons import pools, release, reserve
from campaign_pipeline.messages.definition import Template, unknown_variables
from campaign_pipeline.messages.media import Medium, add_media, copy_whole, load_media
from campaign_pipeline.messages.media_links import UnknownMedium, with_media
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.store import load_segments


def gather_context(
    installation: Installation, run: Run, audience: pl.DataFrame, templates: Mapping[str, Template]
) -> pl.DataFrame | None:
    """What `templates` (by variant) need beside the contact, for each planned row of `audience`: see context.py.

    Hands out the coupon codes, last of all. None if nothing is needed.
    """
    needed = needs(templates.values())
    if not needed:
        return None
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED.value)
    in_segments = members_of(installation, needed.segments, run.as_of)
    items = {name: read_contact_table(installation.lake, name) for name in needed.tables}
    wanted = {
        pool: planned.filter(pl.col("variant").is_in(_using(pool, templates)))["contact_id"] for pool in needed.coupons
    }
    with writing(installation.engine) as connection:
        codes = reserve(connection, run.run_id, wanted, installation.clock())
    return context_columns(planned["contact_id"], in_segments, items, codes)


def members_of(installation: Installation, names: Collection[str], as_of: datetime) -> dict[str, pl.Series]:
    """The ids of the contacts in each of the segments, as they are now, at `as_of`."""
    if not names:
        return {}
    with reading(installation.engine) as connection:
        library = load_segments(connection)
    if missing := sorted(set(names) - set(library)):
        raise NotFound(f"segment {missing[0]!r}, which a template uses, does not exist", "Load it: campaigns apply DIR")
    return {name: members(installation.lake, library[name], library, as_of)["contact_id"] for name in names}


def _using(pool: str, templates: Mapping[str, Template]) -> list[str]:
    return [variant for variant, template in templates.items() if pool in needs([template]).coupons]


def item_types(lake: Lake, needed: Needs) -> dict[str, pl.DataType]:
    """The types of the items of those tables that are there: for examples."""
    return {name: item_type(lake, name) for name in needed.tables if name in tables(lake)}


def release_codes(installation: Installation, run_id: str) -> int:
    """Make free again what codes of an ended run were in no request to a provider; how many. Refused before its end.

    A message whose batch was claimed may have gone out: its code stays with its contact.
    """
    lake = installation.lake
    with writing(installation.engine) as connection:
        state = run_state(connection, run_id)
        if state not in ENDED:
            raise Refused(f"{run_id} is {state}, so its codes may still go out", f"End it: campaigns cancel {run_id}")
        claimed = connection.execute(sa.select(claims.c.batch_no).where(claims.c.run_id == run_id).distinct()).scalars()
        batches = list(claimed)
        if batches:
            messages = lake.read("messages", run_id)
            sent_to = messages.filter(pl.col("batch_no").is_in(batches))["contact_id"]
        else:
            sent_to = pl.Series([], dtype=pl.String)
        return release(connection, run_id, sent_to)


def add_medium(installation: Installation, file: Path, name: str) -> tuple[Change, Medium]:
    """Keep the image `file` as medium `name`, and publish it where the settings say: see messages/media.py."""
    settings = installation.settings
    with writing(installation.engine) as connection:
        change, medium = add_media(
            connection,
            settings.media_folder,
            file,
            name,
            max_bytes=settings.media_max_bytes,
            at=installation.clock(),
        )
        if settings.media_publish_dir:
            copy_whole(settings.media_folder / medium.file, Path(settings.media_publish_dir) / medium.file)
    return change, medium


def complete(
    installation: Installation, connection: sa.Connection, templates: Mapping[str, Template], segments: Collection[str]
) -> dict[str, Template]:
    """`templates` with the addresses of their media. `segments`: all that there are.

    InvalidInput names the template, part and line of a segment, contact table, pool or medium that does not exist.
    """
    known = {"segments": segments, "tables": tables(installation.lake), "coupons": pools(connection)}
    addresses = {name: installation.settings.media_url(each.file) for name, each in load_media(connection).items()}
    completed: dict[str, Template] = {}
    for name, template in templates.items():
        for problem in unknown_variables(template, None, known):
            raise InvalidInput(f"template {name}: {problem}", _HINTS[problem.name.partition(".")[0]])
        try:
            completed[name] = with_media(template, addresses)
        except UnknownMedium as error:
            raise InvalidInput(f"template {name}: {error}", "Add it: campaigns media add FILE") from None
    return completed


_HINTS = {
    "segments": "Put its definition under segments/.",
    "tables": "Import it first: campaigns tables import NAME FILE --key COLUMN",
    "coupons": "Import its codes first: campaigns coupons import POOL FILE",
}
