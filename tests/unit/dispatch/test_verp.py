"""Envelope senders: what goes in comes out, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.verp import (
    LONGEST_LOCAL_PART,
    MOST_ATTEMPTS,
    TOKEN_LENGTH,
    Bounced,
    bounce_address,
    bounce_token,
    read_bounce_address,
    read_bounce_token,
    require_room,
    run_mark,
)

SECRET = SecretStr("secret")
RUN = "spring-sale--20260302t090000z"
message_ids = st.binary(min_size=12, max_size=12).map(bytes.hex)


@given(message_ids, st.integers(1, MOST_ATTEMPTS), st.sampled_from(["bounce", "b", "news+promo"]), st.booleans())
def test_a_bounce_names_the_attempt(message_id: str, attempt: int, local: str, shouted: bool) -> None:
    address = bounce_address(f"{local}@example.com", bounce_token(RUN, message_id, attempt, SECRET))
    assert len(address.rpartition("@")[0]) <= LONGEST_LOCAL_PART
    as_it_came = f"<{address.upper()}>" if shouted else address
    assert read_bounce_address(as_it_came, SECRET) == Bounced(message_id, run_mark(RUN), attempt)


@given(message_ids, st.integers(0, TOKEN_LENGTH - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_token_with_another_letter_is_not_ours(message_id: str, place: int, letter: str) -> None:
    token = bounce_token(RUN, message_id, 1, SECRET)
    changed = token[:place] + letter + token[place + 1 :]
    assert (read_bounce_token(changed, SECRET) is None) == (changed != token)


@given(st.text(max_size=60))
def test_anything_else_is_not_ours(text: str) -> None:
    assert read_bounce_token(text, SECRET) is None
    assert read_bounce_address(text, SECRET) is None


def test_another_key_and_another_run_make_another_token() -> None:
    token = bounce_token(RUN, "0" * 24, 1, SECRET)
    assert len(token) == TOKEN_LENGTH
    assert read_bounce_token(token, SecretStr("other")) is None
    assert run_mark(RUN) != run_mark(RUN.replace("spring", "autumn"))


def test_more_attempts_than_fit_are_the_last_that_does() -> None:
    token = bounce_token(RUN, "0" * 24, MOST_ATTEMPTS + 5, SECRET)
    assert read_bounce_token(token, SECRET) == Bounced("0" * 24, run_mark(RUN), MOST_ATTEMPTS)


def test_an_address_must_have_room_for_a_token() -> None:
    room = LONGEST_LOCAL_PART - TOKEN_LENGTH - 1
    fits = "b" * room + "@example.com"
    assert require_room(fits) == fits
    with pytest.raises(InvalidInput, match="too long to carry a token"):
        require_room("b" + fits)
    with pytest.raises(InvalidInput, match="is not an address"):
        require_room("bounces")
