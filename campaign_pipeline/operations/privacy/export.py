"""All that is held about a contact, as one JSON object."""

from typing import Any

from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy.person import Person, find_person
from campaign_pipeline.operations.privacy.stores import held


def export_contact(installation: Installation, identifier: str) -> dict[str, Any]:
    """{contact_id, external_id, exported_at, held: {store: [row, ...]}} of the contact with this id or external id.

    Stores that hold nothing about the contact are there, and empty. NotFound if all are.
    """
    person = require_person(installation, identifier)
    return {
        "contact_id": person.contact_id,
        "external_id": person.external_id,
        "exported_at": installation.clock(),
        "held": dict(held(installation, person)),
    }


def require_person(installation: Installation, identifier: str) -> Person:
    """NotFound if no store holds anything about the contact."""
    person = find_person(installation, identifier)
    if not any(rows for _, rows in held(installation, person)):
        raise NotFound(
            "nothing is held about this contact",
            "Give the contact id or the external id, as your system writes it. An address is neither.",
        )
    return person
