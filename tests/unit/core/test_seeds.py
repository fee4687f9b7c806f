"""The seeds: definitions that load on both databases and are valid."""

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_campaign
from campaign_pipeline.core.database import load_seeds, reading
from campaign_pipeline.messages.store import load_templates
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.store import load_segments


@pytest.mark.parametrize("database", ["engine", "postgres_engine"])
def test_the_seeds_load_twice_and_fit_together(database: str, request: pytest.FixtureRequest) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    load_seeds(engine)
    load_seeds(engine)
    with reading(engine) as connection:
        segments, templates = load_segments(connection), load_templates(connection)
        campaign = load_campaign(connection, "test-campaign")
    assert set(segments) == {"test_everybody", "test_germany"}
    check_references(segments)
    assert campaign.segment in segments
    assert [variant.template for variant in campaign.variants] == list(templates)
