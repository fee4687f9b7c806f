"""Every place where something about a contact can be: the one list that export and erasure go by.

A test fails when a table, a lake asset or a folder under the data folder exists that is named neither here nor among
those that hold nothing personal.
"""

from collections.abc import Iterator
from typing import Any

from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy import inbox, lake, rejects, tables
from campaign_pipeline.operations.privacy.person import Person

TABLES = tables.PERSONAL
ASSETS = lake.PERSONAL

FOLDERS = {
    "inbox": "what providers posted, as it came, and what of it could not be understood",
    "rejects": "rows of imported files that were not taken in",
    "erasures": "erasures that are under way",
    "lake": "by asset, see lake.py",
    "campaigns.db": "the operational database on SQLite; by table, see tables.py",
    "warehouse.duckdb": "views over the lake without rows of their own: built anew",
}
"""What holds something about a contact under the data folder."""

NOT_PERSONAL = {
    "definitions": "what authors wrote",
    "seeds": "copies for the team's own addresses, which authors named",
    "media": "images that messages show",
    "reports": "figures of variants and days",
    "dagster": "metadata and logs: contact ids at most",
    "sandbox": "what the local provider keeps in the place of Twilio and SendGrid: theirs to erase, not ours",
}
"""What does not, and why."""


def held(installation: Installation, person: Person) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(store, what it holds about the contact) of every store, in the order of the lists."""
    for table in TABLES:
        yield f"table {table.name}", table.find(installation, person)
    for asset in ASSETS:
        found = asset.find(installation.lake, person)
        yield (
            f"lake {asset.name}",
            [{"partition": name} | row for name, rows in found for row in rows.iter_rows(named=True)],
        )
    yield "inbox", list(inbox.find(installation.settings.inbox_dir, person))
    yield "rejects", list(rejects.find(rejects.folder(installation), person))
