"""docs/webhooks.md: every path, answer, setting and metric is in it."""

import re
from pathlib import Path

import pytest

from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.web.metrics import ROUTES, Metrics
from campaign_pipeline.web.posts import REFUSALS
from campaign_pipeline.web.webhooks import WEBHOOKS


@pytest.fixture(scope="module")
def page() -> str:
    return (PROJECT_DIR / "docs" / "webhooks.md").read_text()


def test_every_path_is_there_with_its_answer(page: str) -> None:
    assert [route for route in ROUTES if f"`{route}`" not in page] == []
    for path, webhook in WEBHOOKS.items():
        [row] = re.findall(rf"^\| `{path}` .*$", page, re.MULTILINE)
        assert f"| {webhook.answer.status:d}" in row


def test_every_reason_is_there_with_its_status(page: str) -> None:
    rows = dict(re.findall(r"^\| (\d{3}|none)[^|]* \| `(\w+)` \|", page, re.MULTILINE))
    assert {reason: int(status) for status, reason in rows.items() if status != "none"} == {
        reason: answer.status for reason, answer in REFUSALS.items()
    }
    assert rows["none"] == "gone"


def test_every_setting_of_the_receiver_is_there(page: str) -> None:
    assert [
        name
        for name in Settings.model_fields
        if name.startswith("receiver_") and f"`CAMPAIGN_{name.upper()}`" not in page
    ] == []


def test_every_metric_is_there_and_no_other(page: str, tmp_path: Path) -> None:
    text = Metrics(Inbox(tmp_path, utc_now)).text()
    served = {
        name if kind != "counter" or name.endswith("_total") else f"{name}_total"
        for name, kind in re.findall(r"^# TYPE (campaigns_\w+) (\w+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"^\| `(campaigns_\w+)`", page, re.MULTILINE)) == served
