"""docs/sending.md: its examples are applied as they stand, its errors are real, and no field is left out."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import BreakerPolicy, DomainPolicy, SenderPolicy, WarmUp
from campaign_pipeline.campaigns.sending_policy import read_sending_policy
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation

PAGE = (Path(__file__).parents[2] / "docs" / "sending.md").read_text(encoding="utf-8")
YAML, JSON = (re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S) for language in ("yaml", "json"))
assert YAML
assert JSON


@pytest.fixture
def installation(settings: Settings, engine: sa.Engine) -> Installation:
    return Installation(settings)


def applied(installation: Installation, folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text, encoding="utf-8")
    return [each.change for each in apply_folder(installation, folder)]


def test_the_examples_are_applied(installation: Installation, tmp_path: Path) -> None:
    folders = [tmp_path / "definitions", tmp_path / "json"]
    for folder in folders:
        folder.mkdir()
    assert applied(installation, folders[0], "sending.yaml", YAML[1]) == ["new"]
    assert applied(installation, folders[1], "sending.json", JSON[1]) == ["changed"]
    policy = read_sending_policy(folders[0] / "sending.yaml")
    assert set(policy.senders) == {Channel.EMAIL, Channel.SMS, Channel.WHATSAPP}
    assert policy.senders[Channel.EMAIL].ceiling(2) == 750


@pytest.mark.parametrize(
    ("right", "wrong"), [("rate: 50/s", "rate: 50 a second"), ("rate: 10 parts/s", "rate: 10 messages/s")]
)
def test_the_page_shows_the_errors_as_they_are(
    installation: Installation, tmp_path: Path, right: str, wrong: str
) -> None:
    folder = tmp_path / "definitions"
    folder.mkdir()
    with pytest.raises(CampaignError) as raised:
        applied(installation, folder, "sending.yaml", YAML[1].replace(right, wrong))
    assert f"error: {raised.value.message.replace(str(folder), 'definitions')}\n" in PAGE


@pytest.mark.parametrize("model", [SenderPolicy, WarmUp, DomainPolicy, BreakerPolicy], ids=lambda model: model.__name__)
def test_every_field_is_explained(model: type[Definition]) -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(model.model_fields) - explained == set()


def test_defaults_are_those_of_the_code() -> None:
    assert BreakerPolicy().model_dump() == BreakerPolicy.model_validate({"pause": "5m", "longest": "1h"}).model_dump()
    assert "| `filtered`, `of` | `10`, `50` |" in PAGE
    assert (BreakerPolicy().filtered, BreakerPolicy().of) == (10, 50)
