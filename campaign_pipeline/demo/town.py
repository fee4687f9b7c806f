"""Made-up people, taken in as anybody's files are."""

from pathlib import Path

from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.demo.people import generate_people
from campaign_pipeline.operations.installation import Installation

PEOPLE = 20_000


def take_in_people(installation: Installation, folder: Path, count: int = PEOPLE) -> None:
    """Make files of `count` people and their purchases in `folder` and import them; a second time nothing is new."""
    files = generate_people(folder, count)
    import_contacts(
        installation.engine,
        files.contacts,
        read_definition(files.contact_mapping, ContactMapping),
        clock=installation.clock,
        rejects_path=folder / "contacts-rejects.csv",
    )
    import_events(
        installation.engine,
        installation.lake,
        files.purchases,
        read_definition(files.purchase_mapping, EventMapping),
        clock=installation.clock,
        rejects_path=folder / "purchases-rejects.csv",
    )
