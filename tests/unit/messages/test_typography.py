"""Plain characters for SMS."""

from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.messages.sms import sms_parts
from campaign_pipeline.messages.typography import PLAIN, plain


def test_typographic_characters_become_plain_ones() -> None:
    assert (
        plain("\u201cDon\u2019t\u201d \u2013 caf\u00e9\u2026\u00a0\u20ac5\u200b") == '"Don\'t" - caf\u00e9... \u20ac5'
    )


def test_one_quote_no_longer_costs_parts() -> None:
    text = "It\u2019s " + "x" * 155
    assert (sms_parts(text), sms_parts(plain(text))) == (3, 1)


def test_every_plain_character_is_in_the_short_alphabet() -> None:
    assert {sms_parts(to * 160) for to in PLAIN.values() if len(to) == 1} == {1}


@given(st.lists(st.text(st.sampled_from([*PLAIN, "a", "\u20ac", "\U0001f600"]))))
def test_piece_by_piece_is_the_same_as_the_whole(pieces: list[str]) -> None:
    assert "".join(map(plain, pieces)) == plain("".join(pieces))
    assert plain(plain("".join(pieces))) == plain("".join(pieces))
