"""The operational database, as SQLAlchemy Core tables on one metadata; one file a concern.

They live in `core`, because earlier stages read what later ones write (a freeze reads past sends),
while imports run one way only. Times are UTC; `sql/migrations` builds exactly these tables (a test
compares the two on SQLite and PostgreSQL).
"""

from campaign_pipeline.core.tables.base import metadata
from campaign_pipeline.core.tables.campaigns import (
    campaign_versions,
    campaigns,
    rollout_parts,
    rollout_stops,
    runs,
    sending_versions,
    stage_times,
    state_changes,
)
from campaign_pipeline.core.tables.contacts import (
    attributes,
    consents,
    contact_tags,
    contacts,
    imports,
    list_members,
    suppressions,
)
from campaign_pipeline.core.tables.dispatch import (
    batch_outcomes,
    breaker_changes,
    claims,
    contacted,
    conversations,
    lookups,
    outcomes,
    pacing,
    plans,
    sender_days,
)
from campaign_pipeline.core.tables.events import experiments, inbox_cursors, touched
from campaign_pipeline.core.tables.messages import coupon_codes, media, template_versions
from campaign_pipeline.core.tables.segments import segment_cursors, segment_evaluations, segment_versions

__all__ = [
    "attributes",
    "batch_outcomes",
    "breaker_changes",
    "campaign_versions",
    "campaigns",
    "claims",
    "consents",
    "contact_tags",
    "contacted",
    "contacts",
    "conversations",
    "coupon_codes",
    "experiments",
    "imports",
    "inbox_cursors",
    "list_members",
    "lookups",
    "media",
    "metadata",
    "outcomes",
    "pacing",
    "plans",
    "rollout_parts",
    "rollout_stops",
    "runs",
    "segment_cursors",
    "segment_evaluations",
    "segment_versions",
    "sender_days",
    "sending_versions",
    "stage_times",
    "state_changes",
    "suppressions",
    "template_versions",
    "touched",
]
