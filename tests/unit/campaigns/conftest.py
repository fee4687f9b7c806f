"""Campaigns and runs that are good as they are, to be changed in one place."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core import ids
from campaign_pipeline.core.words import RunState

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)

MakeCampaign = Callable[..., Campaign]
MakeRun = Callable[..., Run]


@pytest.fixture
def make_campaign() -> MakeCampaign:
    """A valid campaign; keywords replace fields."""

    def make(**fields: Any) -> Campaign:
        given: dict[str, Any] = {
            "campaign": "spring-sale",
            "channel": "email",
            "segment": "buyers",
            "variants": [{"name": "plain", "weight": 1, "template": "plain"}],
        }
        return Campaign.model_validate(given | fields)

    return make


@pytest.fixture
def make_run(make_campaign: MakeCampaign) -> MakeRun:
    """A run at AS_OF; keywords replace fields of its campaign."""

    def make(as_of: datetime = AS_OF, **fields: Any) -> Run:
        campaign = make_campaign(**fields)
        run_id = ids.run_id(campaign.campaign, as_of)
        return Run(run_id, as_of, RunState.RUNNING, "", "cli", as_of, None, campaign)

    return make
