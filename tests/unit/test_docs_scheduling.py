"""docs/scheduling.md: its table is that of the data, its examples are applied as they stand, its hours are real."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml

from campaign_pipeline.campaigns.definition import Campaign, Cron
from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy, Rule, as_table, rule_book
from campaign_pipeline.campaigns.schedule import MOST_CAUGHT_UP
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.windows import read_window
from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.local_time import first_at
from campaign_pipeline.core.words import Channel

PAGE = (Path(__file__).parents[2] / "docs" / "scheduling.md").read_text(encoding="utf-8")
EXAMPLES = {
    text.partition("\n")[0].removeprefix("# "): text
    for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}


def test_the_table_of_rules_is_that_of_the_data() -> None:
    shown = re.findall(r"^\| `([a-z]{2}-[a-z]+)` \| (.*) \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert shown == [tuple(row.values()) for row in as_table(rule_book().rules)]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("campaigns/")])
def test_every_campaign_is_one(name: str, tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(EXAMPLES[name])
    campaign = read_definition(file, Campaign)
    assert name == f"campaigns/{campaign.campaign}.yaml"


def test_the_sending_policy_is_one_and_does_what_is_said(tmp_path: Path) -> None:
    file = tmp_path / "sending.yaml"
    file.write_text(EXAMPLES["sending.yaml"])
    policy = read_definition(file, SendingPolicy).quiet_hours
    may, june = date(2026, 5, 31), date(2026, 6, 1)
    by_whatsapp = {rule.rule: rule for rule in policy.in_force(Channel.WHATSAPP, "marketing", june)}
    assert {"no-nights", "quiet-sundays", "us-federal"} <= set(by_whatsapp)
    assert by_whatsapp["fr-sms"].hours == "Mo-Sa 08:00-22:00"
    assert "ca-national" not in by_whatsapp
    others = [
        *policy.in_force(Channel.WHATSAPP, "marketing", may),
        *policy.in_force(Channel.WHATSAPP, "alerts", june),
        *policy.in_force(Channel.EMAIL, "marketing", june),
    ]
    assert "quiet-sundays" not in {rule.rule for rule in others}


@pytest.mark.parametrize("model", [Rule, QuietHoursPolicy, Cron])
def test_no_field_is_left_out(model: type[Definition]) -> None:
    written = set(re.findall(r"`([a-z_]+)`", PAGE)) | {
        key for text in EXAMPLES.values() for key in re.findall(r"(\w+):", yaml.dump(yaml.safe_load(text)))
    }
    assert set(model.model_fields) - written == set()


def test_the_windows_that_are_shown_are_windows() -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [read_window(line).key() for line in shown.splitlines()] == shown.splitlines()


def test_aucklands_ten_oclock_is_two_hours_before_midnight_in_berlin() -> None:
    campaign = Campaign.model_validate(yaml.safe_load(EXAMPLES["campaigns/morning-news.yaml"]))
    midnight = datetime.fromisoformat("2026-03-02T00:00+01:00").astimezone(UTC)
    at = datetime.strptime(campaign.local_time or "", "%H:%M").time()  # noqa: DTZ007
    next_day = first_at("Pacific/Auckland", at, midnight)
    assert (next_day - midnight).total_seconds() == 22 * 3600
    assert campaign.send_before is not None
    assert next_day - midnight < campaign.send_before


def test_the_bound_of_catching_up_is_the_real_one() -> None:
    assert f"all but the newest\n{MOST_CAUGHT_UP}" in PAGE
