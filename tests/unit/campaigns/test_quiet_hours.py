"""Which rules hold for whom, the strictest of them, and the data that comes with the product."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaign_pipeline.campaigns.places import place_of
from campaign_pipeline.campaigns.quiet_hours import (
    FILE,
    QuietHoursPolicy,
    Rule,
    holidays_of,
    rule_book,
    window_of,
)
from campaign_pipeline.campaigns.windows import ANY_TIME, allowed_at, next_allowed, read_window
from campaign_pipeline.contacts.regions import regions
from campaign_pipeline.core.words import Channel

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
TODAY = AS_OF.date()


def rules(channel: Channel = Channel.SMS, on: date = TODAY, **policy: Any) -> tuple[Rule, ...]:
    return QuietHoursPolicy.model_validate(policy).in_force(channel, "marketing", on)


def window(
    timezone: str | None = None,
    region: str | None = None,
    area: str | None = None,
    country: str | None = None,
    **policy: Any,
) -> str:
    return window_of(place_of(timezone, region, area, country, "UTC"), rules(**policy), AS_OF)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "hours"),
    [
        ("+1212", "Mo-Su 08:00-21:00 @ America/New_York"),  # New York: the federal rule
        ("+1305", "Mo-Su 08:00-20:00 @ America/New_York"),  # Florida
        ("+1405", "Mo-Su 08:00-20:00 @ America/Chicago"),  # Oklahoma
        ("+1206", "Mo-Su 08:00-20:00 @ America/Los_Angeles"),  # Washington
        ("+1301", "Mo-Su 08:00-20:00 @ America/New_York"),  # Maryland
        ("+1203", "Mo-Su 09:00-20:00 @ America/New_York"),  # Connecticut
        ("+1713", "Mo-Sa 09:00-21:00 Su 12:00-21:00 @ America/Chicago"),  # Texas
        ("+1502", "Mo-Su 10:00-21:00 @ America/New_York"),  # Kentucky
        ("+1601", "Mo-Sa 08:00-20:00 @ America/Chicago"),  # Mississippi
        ("+1416", "Mo-Fr 09:00-21:30 Sa-Su 10:00-18:00 @ America/Toronto"),
        ("+9198", "Mo-Su 10:00-21:00 @ Asia/Calcutta"),
    ],
)
def test_the_hours_of_a_telephone_number(number: str, hours: str) -> None:
    assert window(area=number) == hours


@pytest.mark.parametrize("number", ["+4477", "+4915", "+3461", "+4366"])
def test_where_no_rule_is_known_any_time_is_allowed(number: str) -> None:
    assert window(area=number) == ANY_TIME


def test_public_holidays_are_closed() -> None:
    france = window(area="+3361")
    assert not allowed_at(france, utc("2026-07-14T10:00"))
    assert next_allowed(france, utc("2026-07-13T19:00")) == utc("2026-07-15T06:00")
    louisiana = window(area="+1504")
    assert not allowed_at(louisiana, utc("2027-02-09T18:00"))  # Mardi Gras
    assert allowed_at(louisiana, utc("2027-02-10T18:00"))
    alabama = window(area="+1205")
    assert not allowed_at(alabama, utc("2026-04-27T18:00"))


def test_of_an_unknown_state_the_strictest_of_all_counts() -> None:
    """Kentucky's morning, Rhode Island's evening and Saturday, nobody's Sunday, in every zone of the country."""
    found = read_window(window(country="US"))
    assert [found.week[day] for day in (0, 5, 6)] == [(600, 1080), (600, 1020), None]
    assert {"America/New_York", "Pacific/Honolulu"} <= set(found.zones)
    assert len(found.zones) < 10  # one of each clock
    assert date(2026, 7, 24) in found.off  # Utah's Pioneer Day
    opens = next_allowed(found.key(), utc("2026-03-02T09:00"))
    assert opens == utc("2026-03-02T20:00")  # 10:00 in Honolulu, 15:00 in New York


@given(
    area=st.sampled_from(["+1212", "+1305", "+1713", "+1800", "+1850", "+1203"]),
    minutes=st.integers(0, 60 * 24 * 14),
)
def test_what_the_strictest_allows_every_state_and_zone_allows(area: str, minutes: int) -> None:
    moment = AS_OF + timedelta(minutes=minutes)
    if not allowed_at(window(country="US"), moment):
        moment = next_allowed(window(country="US"), moment) or moment
    assert allowed_at(window(area=area, country="US"), moment)


def test_the_rules_of_all_countries_of_a_contact_hold_together() -> None:
    both = window(timezone="Europe/Paris", area="+1305", country="FR")
    assert read_window(both).week == read_window("Mo-Sa 08:00-20:00 @ UTC").week
    assert read_window(both).zones == ("Europe/Paris",)


def test_a_number_whose_area_is_parted_by_zones_keeps_both() -> None:
    assert window(area="+1850") == "Mo-Su 08:00-20:00 @ America/New_York America/Chicago"


def test_rules_hold_from_their_day_on() -> None:
    oregon = place_of(None, None, "+1503", "US", "UTC")
    before = rules(on=date(2025, 12, 31))
    assert read_window(window_of(oregon, before, AS_OF)).week[0] == (480, 1260)
    assert read_window(window_of(oregon, rules(on=date(2026, 1, 1)), AS_OF)).week[0] == (480, 1200)


def test_email_keeps_quiet_hours_only_if_the_team_says_so() -> None:
    assert rules(Channel.EMAIL) == ()
    assert rules(Channel.WHATSAPP) == rules(Channel.SMS)
    assert len(rules(Channel.EMAIL, channels=["email"])) == len(rules())
    assert rules(Channel.SMS, channels=["email"]) == ()


NIGHT = {"rule": "our-nights", "hours": "09:00-19:00", "source": "our own manners"}


def test_a_team_adds_rules_of_its_own_everywhere_or_for_some() -> None:
    assert window(area="+4477", rules=[NIGHT]) == "Mo-Su 09:00-19:00 @ Europe/London"
    assert window(rules=[NIGHT]) == "Mo-Su 09:00-19:00 @ UTC"  # of whom nothing is known
    assert window(area="+1305", rules=[NIGHT]) == "Mo-Su 09:00-19:00 @ America/New_York"
    german = NIGHT | {"countries": ["DE"], "hours": "Mo-Fr 10:00-18:00", "holidays": "DE"}
    assert not allowed_at(window(area="+4915", rules=[german]), utc("2026-10-03T12:00"))
    assert window(area="+4477", rules=[german]) == ANY_TIME
    of_whatsapp = NIGHT | {"channels": ["whatsapp"], "purposes": ["marketing"]}
    policy = QuietHoursPolicy.model_validate({"rules": [of_whatsapp]})
    assert len(policy.in_force(Channel.WHATSAPP, "marketing", TODAY)) == len(rules()) + 1
    assert len(policy.in_force(Channel.WHATSAPP, "alerts", TODAY)) == len(rules())
    assert len(policy.in_force(Channel.SMS, "marketing", TODAY)) == len(rules())


def test_a_team_replaces_rules_and_takes_others_out() -> None:
    later = {"rule": "fr-sms", "countries": ["FR"], "hours": "Mo-Sa 08:00-22:00", "source": "our operator"}
    assert window(area="+3361", rules=[later]) == "Mo-Sa 08:00-22:00 @ Europe/Paris"
    assert window(area="+3361", without=["fr-sms"]) == ANY_TIME


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"without": ["fr-smss"]}, "there is no rule 'fr-smss'"),
        ({"rules": [NIGHT, NIGHT]}, "'our-nights' is given twice"),
        ({"rules": [NIGHT | {"hours": "at noon"}]}, "are not hours such as 08:00-20:00"),
        ({"rules": [NIGHT | {"hours": "21:00-08:00"}]}, "is not a stretch of one day"),
        ({"rules": [NIGHT | {"countries": ["Germany"]}]}, "pattern"),
        ({"rules": [NIGHT | {"countries": ["US"], "regions": ["US-XX"]}]}, "not a region that is known"),
        ({"rules": [NIGHT | {"regions": ["US-TX"]}]}, "US-TX is in none of its countries"),
        ({"rules": [NIGHT | {"holidays": "XX"}]}, "holidays of 'XX' are not known"),
        ({"rules": [NIGHT | {"source": ""}]}, "at least 1 character"),
        ({"channels": ["fax"]}, "email"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(policy: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        QuietHoursPolicy.model_validate(policy)


def test_every_rule_that_comes_along_names_its_source_and_is_sound() -> None:
    book = rule_book()
    names = [rule.rule for rule in book.rules]
    assert len(names) == len(set(names)) > 20
    assert datetime.fromisoformat(book.version)
    assert all(rule.source and rule.countries for rule in book.rules)
    assert all(set(rule.regions) <= set(regions()) for rule in book.rules)
    assert all(holidays_of(rule.holidays, TODAY, date(2027, 3, 1)) for rule in book.rules if rule.holidays)
    assert FILE.read_text().count("  - rule: ") == len(names)


def test_holidays_are_those_of_the_days_in_question() -> None:
    assert holidays_of("FR", date(2026, 7, 14), date(2026, 8, 15)) == {date(2026, 7, 14), date(2026, 8, 15)}
    assert holidays_of("US-LA", date(2026, 2, 17), date(2026, 2, 17)) == {date(2026, 2, 17)}
    assert holidays_of("US", date(2026, 2, 17), date(2026, 2, 17)) == frozenset()
    assert date(2027, 1, 1) in holidays_of("FR", date(2026, 12, 1), date(2027, 1, 31))
