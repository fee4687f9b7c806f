"""`campaigns quiet-hours`: the rules, and what they leave of one contact's day."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.campaigns.quiet_hours import rule_book
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.store import apply_sending_policy
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import writing

CONTACTS = """id,phone,country,state
1,+12125550100,US,
2,+18005550100,US,Texas
3,+4915112345678,DE,
"""

Call = Callable[..., Any]


@pytest.fixture
def begun(campaigns: Call, home: Path) -> Call:
    (home / "contacts.csv").write_text(CONTACTS)
    assert campaigns("init").code == 0
    columns = ("id=id", "phone=phone", "country=country", "attributes.state=state", "consent.sms=granted")
    arguments = [part for column in columns for part in ("-m", column)]
    assert campaigns("contacts", "import", "contacts.csv", *arguments).code == 0
    return campaigns


def test_the_rules_are_shown_with_their_sources(begun: Call) -> None:
    shown = begun("quiet-hours", "--as-of", "2026-03-02")
    assert shown.code == 0
    assert "47 CFR" in shown.out
    found = begun("quiet-hours", "--as-of", "2026-03-02", "--json").json
    assert found["version"] == rule_book().version
    assert found["rules"][0] == {
        "rule": "us-federal",
        "where": "US, PR, GU, VI, AS, MP",
        "hours": "Mo-Su 08:00-21:00",
        "since": "",
        "source": "47 CFR § 64.1200(c)(1) (TCPA); 16 CFR § 310.4(c)",
    }
    assert begun("quiet-hours", "--channel", "email").out == "No quiet hours are kept for marketing by email.\n"


def test_one_contacts_hours_say_which_rules_hold_and_when_it_is_allowed(begun: Call) -> None:
    night = begun("quiet-hours", "2", "--as-of", "2026-03-02T09:00")
    assert night.out.splitlines()[1:] == [
        "  rules    us-federal, us-tx",
        "  hours    Mo-Sa 09:00-21:00 Su 12:00-21:00 @ America/Chicago America/Denver",
        "  allowed  from 2026-03-02 16:00 UTC",
    ]
    assert begun("quiet-hours", "1", "--as-of", "2026-03-02T15:00").out.endswith("now, 2026-03-02 15:00 UTC\n")
    assert begun("quiet-hours", "3", "--as-of", "2026-03-02T03:00", "--json").json | {"contact_id": ""} == {
        "contact_id": "",
        "rules": [],
        "window": "",
        "next_allowed": "2026-03-02T03:00:00+00:00",
    }
    assert begun("quiet-hours", "4").code == 3


def test_the_teams_own_rules_count(begun: Call) -> None:
    never = {"rule": "never", "countries": ["DE"], "hours": "Mo 09:00-10:00", "source": "a test"}
    apart = {"rule": "apart", "countries": ["DE"], "hours": "Tu 09:00-10:00", "source": "a test"}
    policy = SendingPolicy.model_validate({"quiet_hours": {"rules": [never, apart]}})
    with writing(open_installation().engine) as connection:
        apply_sending_policy(connection, policy, utc_now())
    assert begun("quiet-hours", "3").out.splitlines()[1:] == [
        "  rules    never, apart",
        "  hours    @ Europe/Berlin",
        "  allowed  never",
    ]
