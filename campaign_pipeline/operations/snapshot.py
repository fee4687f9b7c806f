"""The contact snapshot of an installation: taken with its clock and its key."""

from campaign_pipeline.contacts.snapshot import Refreshed, refresh_snapshot
from campaign_pipeline.operations.installation import Installation


def take_snapshot(installation: Installation, *, full: bool = False) -> Refreshed:
    """Take the contact snapshot as of now: of what changed since the last one, or of everything (`full`)."""
    return refresh_snapshot(
        installation.engine,
        installation.lake,
        installation.clock(),
        secret=installation.settings.link_secret,
        full=full,
    )
