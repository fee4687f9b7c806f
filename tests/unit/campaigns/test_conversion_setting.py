"""What a campaign counts as a conversion: defaults, mistakes, and that older campaigns stay as they are stored."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.campaigns.definition import Campaign

FALLBACK = [{"channel": "email", "templates": {"a": "t"}}]


def campaign(conversion: Any, channel: str = "email", **more: Any) -> Campaign:
    variants = [{"name": "a", "weight": 1, "template": "t"}]
    given = {"campaign": "c", "channel": channel, "segment": "s", "variants": variants}
    return Campaign.model_validate(given | more | ({} if conversion is None else {"conversion": conversion}))


def counting(*args: Any, **more: Any) -> Conversion:
    found = campaign(*args, **more).conversion
    assert found is not None
    return found


def test_true_means_purchases_within_a_week() -> None:
    setting = counting(conversion=True)
    assert (setting.event, setting.value, setting.within, setting.model) == (
        *("purchase", "amount", timedelta(days=7), "last_touch"),
    )
    assert campaign(False).conversion is None


@pytest.mark.parametrize(
    ("channel", "touch"), [("email", "clicked"), ("sms", "delivered"), ("whatsapp", "delivered"), ("webhook", "sent")]
)
def test_what_touches_follows_from_the_channel(channel: str, touch: str) -> None:
    made = campaign(True, channel)
    assert made.conversion
    assert made.conversion.touch_of(made.channel) == touch
    assert counting({"touch": "sent"}, channel).touch_of(made.channel) == "sent"


@pytest.mark.parametrize(
    ("conversion", "more", "problem"),
    [
        ({"touch": "clicked"}, {"channel": "sms"}, "clicked is known of e-mails only: use delivered or sent"),
        ({"touch": "opened"}, {"channel": "whatsapp"}, "opened is known of e-mails only"),
        (True, {"track_clicks": "none"}, "drop track_clicks: none"),
        ({"within": "0d"}, {}, "longer than nothing"),
        ({"within": "53w"}, {}, "a year at most"),
        ({"model": "u_shaped"}, {}, "'last_touch', 'first_touch' or 'linear'"),
        ({"event": ""}, {}, "at least 1 character"),
        ({"window": "7d"}, {}, "not permitted"),
        ("purchase", {}, "valid dictionary or instance"),
    ],
)
def test_a_mistake_is_named(conversion: Any, more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        campaign(conversion, **more)


def test_a_fallback_by_e_mail_can_be_clicked() -> None:
    assert counting({"touch": "clicked"}, "sms", fallback=FALLBACK).touch == "clicked"


def test_a_version_is_stored_as_before_and_reads_back_as_it_was() -> None:
    assert "conversion" not in campaign(None).model_dump(mode="json", exclude_none=True)
    given = campaign({"value": "", "within": "36h", "model": "linear"})
    assert Campaign.model_validate(given.model_dump(mode="json", exclude_none=True)) == given


@pytest.mark.parametrize(
    ("value", "pointer"), [("amount", "/amount"), ("a/b~c", "/a~1b~0c"), ('say "x"', '/say "x"'), ("", None)]
)
def test_the_value_is_found_by_its_pointer(value: str, pointer: str | None) -> None:
    assert Conversion.model_validate({"value": value}).value_pointer == pointer
