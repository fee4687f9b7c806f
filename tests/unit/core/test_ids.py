"""Identifiers: stable, opaque, and safe as keys and file names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core import ids
from campaign_pipeline.core.errors import InvalidInput


def test_a_message_has_the_same_id_every_time() -> None:
    first = ids.message_id("sale--20260302t090000z", "c1", "email")
    assert first == ids.message_id("sale--20260302t090000z", "c1", "email")
    assert len(first) == 24


@pytest.mark.parametrize(
    "other",
    [
        ("sale--20260303t090000z", "c1", "email", 0),
        ("sale--20260302t090000z", "c2", "email", 0),
        ("sale--20260302t090000z", "c1", "sms", 0),
        ("sale--20260302t090000z", "c1", "email", 1),
    ],
)
def test_another_run_contact_channel_or_step_is_another_message(other: tuple[str, str, str, int]) -> None:
    assert ids.message_id(*other) != ids.message_id("sale--20260302t090000z", "c1", "email", 0)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_different_parts_never_run_together(one: list[str], other: list[str]) -> None:
    assert (ids.digest(*one) == ids.digest(*other)) == (one == other)


def test_a_run_id_says_campaign_and_time() -> None:
    as_of = datetime(2026, 3, 2, 10, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert ids.run_id("spring-sale", as_of) == "spring-sale--20260302t090005z"
    assert ids.parse_run_id("spring-sale--20260302t090005z") == (
        "spring-sale",
        datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize("name", ["", "Spring", "1st", "a/b", "a b", "a.b", "a|b", "x" * 51, "a--b", "Zoë"])
def test_a_name_that_is_not_safe_in_a_partition_key_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        ids.check_name("campaign", name)


@pytest.mark.parametrize("key", ["spring-sale", "spring-sale--2026", "spring-sale--20260302T090000Z"])
def test_what_is_not_a_run_id_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="is not a run"):
        ids.parse_run_id(key)


def test_tests_and_seeds_have_run_ids_that_no_campaign_has() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    one, long, other = (ids.trial_run_id(name, at) for name in ("spring-sale", "a" * 50, "a" * 49 + "b"))
    assert one == "test--spring-sale--20260302t090000z"
    assert all(ids.RUN_ID.fullmatch(each) and ids.is_trial(each) for each in (one, long, other))
    assert long != other
    for campaign in ("test", "test-", "testing", "a" * 50):
        assert not ids.is_trial(ids.run_id(campaign, at))
    assert not ids.is_trial("test--spring-sale")
