"""Unsubscribe tokens: only ours are read, and what they say cannot be changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.signing import sign
from campaign_pipeline.messages.links import (
    LinkTo,
    list_unsubscribe_headers,
    message_token,
    message_urls,
    read_message_token,
    read_unsubscribe_token,
    signatures,
    unsubscribe_token,
    unsubscribe_url,
)

SECRET = SecretStr("a-key")
RUN, MESSAGE = "spring-sale--20260302t090000z", "0123456789abcdef01234567"
TOKEN = unsubscribe_token(SECRET, RUN, MESSAGE)


def test_a_token_says_which_message_it_belongs_to() -> None:
    assert read_unsubscribe_token(SECRET, TOKEN) == (RUN, MESSAGE)


def test_a_token_is_stable_url_safe_and_has_128_bits_of_signature() -> None:
    # printf 'unsubscribe:<run>:<message>' | openssl dgst -sha256 -hmac a-key
    assert unsubscribe_token(SECRET, RUN, MESSAGE) == f"{RUN}.{MESSAGE}.0c150df2a30851633e008a05285d56ff"
    assert set(TOKEN) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(TOKEN.rpartition(".")[2]) == 32


def test_another_key_does_not_read_it() -> None:
    with pytest.raises(InvalidInput, match="not an unsubscribe link of ours"):
        read_unsubscribe_token(SecretStr("b-key"), TOKEN)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_one_character_changed_is_refused(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(InvalidInput):
            read_unsubscribe_token(SECRET, changed)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_unsubscribe_token(SECRET, text)


@pytest.mark.parametrize("text", ["", "..", f"{RUN}.{MESSAGE}.", TOKEN + "0", TOKEN[:-1], TOKEN.upper(), "é.é.é"])
def test_cut_or_changed_tokens_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_unsubscribe_token(SECRET, text)


def test_the_url_and_the_headers_are_rfc_8058() -> None:
    url = unsubscribe_url("https://news.example.com/", "t0ken")
    assert url == "https://news.example.com/u/t0ken"
    assert list_unsubscribe_headers(url) == {
        "List-Unsubscribe": "<https://news.example.com/u/t0ken>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.lists(st.text("0123456789abcdef", max_size=24)))
def test_many_signatures_at_once_are_those_made_one_by_one(key: str, ids: list[str]) -> None:
    secret = SecretStr(key)
    expected = [sign(secret, "view", RUN, each) for each in ids]
    assert list(signatures(secret, "view", RUN, ids)) == expected


def test_a_link_is_good_for_one_thing_only() -> None:
    for link in LinkTo:
        token = message_token(SECRET, link, RUN, MESSAGE)
        assert read_message_token(SECRET, link, token) == (RUN, MESSAGE)
        for other in set(LinkTo) - {link}:
            with pytest.raises(InvalidInput, match=f"{other} link of ours"):
                read_message_token(SECRET, other, token)
    (url,) = message_urls("https://news.example.com/", SECRET, LinkTo.VIEW, RUN, [MESSAGE])
    assert url == f"https://news.example.com/v/{message_token(SECRET, LinkTo.VIEW, RUN, MESSAGE)}"
