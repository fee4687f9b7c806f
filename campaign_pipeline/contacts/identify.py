"""Which contacts are meant, where people name them: by our contact id, or by the id of their own system."""

import csv
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import frame_for_keys
from campaign_pipeline.contacts.values import clean, contact_ids
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.tables import contacts


def identify(connection: sa.Connection, named: pl.Series) -> tuple[pl.Series, int]:
    """(contact ids of those who are here, sorted; how many of the distinct names are nobody's).

    A name that is a contact id means that contact, any other is an external id.
    """
    names = clean(named.cast(pl.String)).drop_nulls().unique()
    ours = _known(connection, names)
    theirs = contact_ids(names.filter(~names.is_in(ours.implode())))
    found = pl.concat([ours, _known(connection, theirs)])
    return found.unique().sort(), len(names) - len(found)


def identify_one(connection: sa.Connection, named: str) -> str:
    """The contact id; NotFound if nobody is meant."""
    found, _ = identify(connection, pl.Series([named]))
    if found.is_empty():
        raise NotFound(f"there is no contact {named!r}", "Give its contact_id, or its id in your own system.")
    return found.item()


def names_in_file(path: Path, column: str | None) -> pl.Series:
    """A column of a CSV file with a header line; without `column`, `contact_id`, else `external_id`, else the first."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            likely = [name for name in ("contact_id", "external_id") if name in header] or header[:1]
            wanted = column or (likely[0] if likely else "contact_id")
            if wanted not in header:
                raise InvalidInput(f"the file has no column {wanted!r}", f"It has: {', '.join(header) or 'nothing'}.")
            place = header.index(wanted)
            return pl.Series([row[place] for row in rows if len(row) > place], dtype=pl.String)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise InvalidInput(f"{path} is not a CSV file in UTF-8") from None


def _known(connection: sa.Connection, ids: pl.Series) -> pl.Series:
    query = sa.select(contacts.c.contact_id)
    return frame_for_keys(connection, query, contacts.c.contact_id, ids, {"contact_id": pl.String})["contact_id"]
