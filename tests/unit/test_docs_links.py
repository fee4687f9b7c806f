"""docs/links.md: its campaigns can be read, and say what the page says they do."""

import re
from pathlib import Path

import yaml
from pydantic import SecretStr

from campaign_pipeline.campaigns.definition import Campaign, Utm
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.messages.authoring.links import with_parameters
from campaign_pipeline.messages.clicks import PATH, click_messages
from campaign_pipeline.messages.environment import LINKS
from campaign_pipeline.messages.links import PATHS

PAGE = (Path(PROJECT_DIR) / "docs" / "links.md").read_text(encoding="utf-8")
CAMPAIGNS = [
    Campaign.model_validate(yaml.safe_load(text)) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
]


def test_the_first_campaign_makes_of_a_link_what_the_page_says() -> None:
    campaign = CAMPAIGNS[0]
    before, after = re.search(r"With this, `([^`]+)` in variant `discount` becomes\n`([^`]+)`", PAGE).groups()  # pyright: ignore
    assert campaign.utm is not None
    assert with_parameters(before, campaign.utm.parameters(campaign.channel, campaign.campaign, "discount")) == after


def test_the_second_campaign_tracks_its_own_clicks() -> None:
    assert (CAMPAIGNS[1].track_clicks, CAMPAIGNS[1].utm) == ("own", Utm())


def test_every_link_parameter_and_kind_of_tracking_is_there() -> None:
    for name in LINKS:
        assert f"`{{{{ {name} }}}}`" in PAGE
    for path in (*PATHS.values(), PATH):
        assert f"`/{path}/...`" in PAGE
    for name in Utm.model_fields:
        assert re.search(rf"^\| `{name}` .*`utm_{name}` \|$", PAGE, re.M)
    for kind in ("provider", "own", "none"):
        assert re.search(rf"^\| `{kind}`", PAGE, re.M)


def test_a_link_costs_what_the_page_says() -> None:
    (message,) = click_messages(SecretStr("k"), "run", ["a" * 24])
    assert f"costs each message {len(message)} bytes" in PAGE
