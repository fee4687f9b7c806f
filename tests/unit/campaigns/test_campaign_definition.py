"""A campaign file: what it may say, and how what it may not say is named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaign_pipeline.campaigns.definition import GOALS, At, Campaign, Cron, read_campaign
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.words import Channel, EventType

GOOD = """\
campaign: spring-sale
channel: email
segment: buyers
variants:
  - {name: plain, weight: 1, template: spring_plain}
  - {name: emoji, weight: 3, template: spring_emoji}
"""

MakeCampaign = Callable[..., Campaign]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Campaign]:
    def read_text(text: str) -> Campaign:
        file = tmp_path / "spring-sale.yaml"
        file.write_text(text)
        return read_campaign(file)

    return read_text


def test_what_is_not_said_has_a_safe_default(read: Callable[[str], Campaign]) -> None:
    campaign = read(GOOD)
    assert campaign.channel is Channel.EMAIL
    assert campaign.purpose == "marketing"
    assert (campaign.holdout, campaign.schedule, campaign.send_before) == (0, None, None)
    assert campaign.goal is EventType.CLICKED
    assert campaign.decide_after == timedelta(days=2)
    assert campaign.on_doubt == "never_duplicate"


def test_the_first_variant_is_the_control_and_shares_add_up_to_one(read: Callable[[str], Campaign]) -> None:
    campaign = read(GOOD)
    assert campaign.control == "plain"
    assert campaign.weights == {"plain": 0.25, "emoji": 0.75}


@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_shares_are_proportional_to_the_weights(weights: list[float]) -> None:
    variants = [{"name": f"v{n}", "weight": weight, "template": "t"} for n, weight in enumerate(weights)]
    campaign = Campaign.model_validate(
        {"campaign": "c", "channel": "sms", "segment": "s", "variants": variants},
    )
    assert sum(campaign.weights.values()) == pytest.approx(1)
    assert list(campaign.weights.values()) == pytest.approx([weight / sum(weights) for weight in weights])


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("366d", timedelta(days=366)),
        ("PT36H", timedelta(hours=36)),
    ],
)
def test_durations(read: Callable[[str], Campaign], written: str, length: timedelta) -> None:
    assert read(f"{GOOD}send_before: {written}\n").send_before == length


@pytest.mark.parametrize("written", ["24", "1.5h", "-3h", "h", "3 h", "3H", "1h30m", "''", "true", "[1h]", "9999999w"])
def test_what_is_no_duration_is_refused(read: Callable[[str], Campaign], written: str) -> None:
    with pytest.raises(InvalidDefinition, match=r":7: send_before: is not a duration such as 90m, 24h, 7d or 2w"):
        read(f"{GOOD}send_before: {written}\n")


@pytest.mark.parametrize("written", ["0h", "PT0S", "367d", "999999w", "P999999999D"])
def test_a_duration_of_nothing_or_without_end_is_refused(read: Callable[[str], Campaign], written: str) -> None:
    with pytest.raises(InvalidDefinition, match="send_before: must be longer than nothing, and a year at most"):
        read(f"{GOOD}send_before: {written}\n")


def test_schedules(read: Callable[[str], Campaign]) -> None:
    assert read(f"{GOOD}schedule: now\n").schedule == "now"
    at = read(f"{GOOD}schedule: {{at: 2026-03-02T09:00:00.75+01:00}}\n").schedule
    assert at == At(at=datetime(2026, 3, 2, 8, tzinfo=UTC))
    cron = read(f"{GOOD}schedule: {{cron: '0 9 * * 1-5', timezone: Europe/Berlin}}\n").schedule
    assert cron == Cron(cron="0 9 * * 1-5", timezone="Europe/Berlin")
    assert read(f"{GOOD}schedule: {{cron: '0 9 29 2 *'}}\n").schedule == Cron(cron="0 9 29 2 *")


@pytest.mark.parametrize(
    ("schedule", "field", "problem"),
    [
        ("later", "schedule", "is none of: now, {at: TIME}, {cron: FIELDS} (it is 'later')"),
        ("{}", "schedule", "is none of: now, {at: TIME}, {cron: FIELDS}"),
        ("{at: 2026-03-02T09:00:00}", "schedule.at", "needs a zone, such as 2026-03-02T09:00:00+01:00"),
        ("{at: 2026-03-02}", "schedule.at", "needs a zone, such as 2026-03-02T09:00:00+01:00"),
        ("{at: 20260302}", "schedule.at", "is not a time such as 2026-03-02T09:00:00+01:00 (it is 20260302)"),
        ("{at: soon}", "schedule.at", "Input should be a valid datetime"),
        ("{at: 2026-03-02T09:00:00Z, cron: '0 9 * * *'}", "schedule.cron", "is not a field here"),
        ("{cron: daily}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: '@daily'}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: '0 0 9 * * *'}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: '60 9 * * *'}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: 'R 9 * * *'}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: 'R(0-9) 9 * * *'}", "schedule.cron", "is not a cron expression with five fields"),
        ("{cron: '0 9 30 2 *'}", "schedule.cron", "names a day that never comes"),
        ("{cron: '0 9 * * *', timezone: Europe}", "schedule.timezone", "is not a time zone such as Europe/Berlin"),
        ("{cron: '0 9 * * *', timezone: Mars/Base}", "schedule.timezone", "is not a time zone such as Europe/Berlin"),
        ("{cron: '0 9 * * *', tz: UTC}", "schedule.tz", "is not a field here"),
    ],
)
def test_a_wrong_schedule_is_named(read: Callable[[str], Campaign], schedule: str, field: str, problem: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read(f"{GOOD}schedule: {schedule}\n")
    assert (caught.value.line, caught.value.field) == (7, field)
    assert caught.value.problem.startswith(problem)
    assert "more in this file" not in caught.value.problem


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "problem"),
    [
        ("campaign: spring-sale", "campaign: Spring", 1, "campaign", "name 'Spring' is not usable"),
        ("campaign: spring-sale", "campaign: a--b", 1, "campaign", "name 'a--b' contains '--'"),
        ("campaign: spring-sale", f"campaign: {'a' * 51}", 1, "campaign", "is not usable"),
        ("campaign: spring-sale", "campaign: 1", 1, "campaign", "Input should be a valid string (it is 1)"),
        (
            "channel: email",
            "channel: fax",
            2,
            "channel",
            "Input should be 'email', 'sms', 'whatsapp' or 'webhook' (it is 'fax')",
        ),
        ("segment: buyers\n", "", 1, "segment", "is missing"),
        ("segment: buyers", "segment: ''", 3, "segment", "name '' is not usable"),
        ("weight: 3", "weight: 0", 6, "variants.1.weight", "Input should be greater than 0"),
        ("weight: 3", "weight: .inf", 6, "variants.1.weight", "Input should be a finite number"),
        ("weight: 3", "weight: .nan", 6, "variants.1.weight", "Input should be"),
        ("template: spring_emoji", "template: a/b", 6, "variants.1.template", "name 'a/b' is not usable"),
        (", template: spring_emoji", "", 6, "variants.1.template", "is missing"),
        ("name: emoji", "name: plain", 4, "variants", "the name 'plain' is given twice"),
        ("segment: buyers", "holdout: 50.1\nsegment: buyers", 3, "holdout", "less than or equal to 50 (it is 50.1)"),
        ("segment: buyers", "holdout: -1\nsegment: buyers", 3, "holdout", "greater than or equal to 0 (it is -1)"),
        ("segment: buyers", "goal: bought\nsegment: buyers", 3, "goal", "must be one of delivered, read, opened"),
        ("segment: buyers", "goal: sent\nsegment: buyers", 3, "goal", "revenue (it is 'sent')"),
        ("segment: buyers", "purpose: My news\nsegment: buyers", 3, "purpose", "should match pattern"),
        ("segment: buyers", "on_doubt: ask\nsegment: buyers", 3, "on_doubt", "'never_duplicate' or 'never_lose'"),
        ("segment: buyers", "hold_out: 10\nsegment: buyers", 3, "hold_out", "is not a field here"),
    ],
)
def test_a_mistake_is_named_with_line_and_field(
    read: Callable[[str], Campaign], old: str, new: str, line: int, field: str, problem: str
) -> None:
    assert old in GOOD
    with pytest.raises(InvalidDefinition) as caught:
        read(GOOD.replace(old, new))
    assert (caught.value.line, caught.value.field) == (line, field)
    assert problem in caught.value.problem


@pytest.mark.parametrize("count", [0, 21])
def test_there_are_one_to_twenty_variants(make_campaign: MakeCampaign, count: int) -> None:
    variants = [{"name": f"v{n}", "weight": 1, "template": "t"} for n in range(count)]
    with pytest.raises(ValidationError, match=f"needs 1 to 20 variants, not {count}"):
        make_campaign(variants=variants)


@pytest.mark.parametrize("holdout", [0, 0.5, 50])
def test_the_holdout_is_at_most_half(make_campaign: MakeCampaign, holdout: float) -> None:
    assert make_campaign(holdout=holdout).holdout == holdout


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_is_accepted(make_campaign: MakeCampaign, goal: EventType) -> None:
    assert make_campaign(goal=goal.value).goal is goal


@pytest.mark.parametrize(
    "schedule", [None, "now", {"at": "2026-03-02T09:00:00Z"}, {"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}]
)
def test_a_stored_version_reads_back_as_it_was(make_campaign: MakeCampaign, schedule: object) -> None:
    campaign = make_campaign(schedule=schedule, send_before="36h", holdout=12.5, goal="read", purpose="service")
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign


@pytest.mark.parametrize(
    ("channel", "seeds", "problem"),
    [
        ("email", ["Ann@example.com"], "one is not an address of email, written as ann@example.com"),
        ("email", ["+12025550100"], "one is not an address of email"),
        ("sms", ["2025550100"], "one is not an address of sms, written as \\+12025550100"),
        ("email", ["a@example.com", "a@example.com"], "one is given twice"),
        ("email", [f"a{n}@example.com" for n in range(51)], "at most 50 addresses"),
    ],
)
def test_seeds_are_addresses_of_the_channel(channel: str, seeds: list[str], problem: str) -> None:
    given = {"campaign": "c", "channel": channel, "segment": "s"}
    variants = [{"name": "a", "weight": 1, "template": "t"}]
    with pytest.raises(ValidationError, match=f"seeds: {problem}"):
        Campaign.model_validate(given | {"variants": variants, "seeds": seeds})


def test_a_campaign_without_seeds_is_stored_as_before_there_were_any() -> None:
    given = {"campaign": "c", "channel": "sms", "segment": "s"}
    campaign = Campaign.model_validate(given | {"variants": [{"name": "a", "weight": 1, "template": "t"}]})
    assert "seeds" not in campaign.model_dump()
    seeded = campaign.model_copy(update={"seeds": ("+12025550100",)})
    assert Campaign.model_validate(seeded.model_dump(mode="json")).seeds == ("+12025550100",)
