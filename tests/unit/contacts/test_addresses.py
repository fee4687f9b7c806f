"""E-mail addresses and phone numbers in one written form."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts import addresses
from campaign_pipeline.contacts.addresses import normalise_email, normalise_emails, normalise_phone, normalise_phones
from campaign_pipeline.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        (" Ann.Lee+News@Example.COM\t", "ann.lee+news@example.com"),
        ("a@müller.example", "a@xn--mller-kva.example"),
        ("a@shop.test", "a@shop.test"),
        ("A@nobody.invalid", "a@nobody.invalid"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("a@localhost", None),
        ("a@test", None),
        ("ö@example.com", None),
        ('"a b"@example.com', None),
        ("two..dots@example.com", None),
        ("Ann <ann@example.com>", None),
        ("", None),
    ],
)
def test_an_email_has_one_form_or_none(raw: str, normalised: str | None) -> None:
    assert normalise_email(raw) == normalised


@pytest.mark.parametrize(
    ("raw", "region", "normalised"),
    [
        ("(212) 555-0123", "US", "+12125550123"),
        ("+1 212 555 0123", "AT", "+12125550123"),
        ("07700 900123", "GB", "+447700900123"),
        ("0664 1234567", "AT", "+436641234567"),
        ("030 23125 007", "DE", "+493023125007"),
        ("555 0123", "US", None),  # possible in its own area only: nobody can dial it
        ("12", "US", None),
        ("call me", "US", None),
    ],
)
def test_a_phone_number_is_e164_or_none(raw: str, region: str, normalised: str | None) -> None:
    assert normalise_phone(raw, region) == normalised


def test_columns_keep_their_rows_and_nulls() -> None:
    emails = pl.Series(["B@example.com", None, "bad", "b@example.com"])
    assert normalise_emails(emails).to_list() == ["b@example.com", None, None, "b@example.com"]
    assert normalise_emails(pl.Series([], dtype=pl.String)).to_list() == []
    assert normalise_emails(pl.Series([None], dtype=pl.String)).to_list() == [None]


def test_a_number_is_read_in_its_contacts_country() -> None:
    phones = pl.Series(["0664 1234567", "(212) 555-0123", None, "0664 1234567"])
    countries = pl.Series(["AT", None, "AT", "ZZ"])
    assert normalise_phones(phones, "US", countries).to_list() == ["+436641234567", "+12125550123", None, None]


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'XX' is not a region"):
        normalise_phones(pl.Series(["1"]), "XX")


@given(st.text(max_size=40))
def test_any_text_normalises_to_a_fixed_point_or_none(raw: str) -> None:
    for normalise in (normalise_email, lambda text: normalise_phone(text, "US")):
        once = normalise(raw)
        assert once is None or normalise(once) == once


addresses_of_any_kind = st.from_regex(
    r"[A-Za-z0-9._+'ö-]{1,12}@[A-Za-z0-9.ü-]{1,14}(\.com|\.invalid|\.test)?", fullmatch=True
)


@given(addresses_of_any_kind)
def test_the_short_way_for_plain_addresses_says_what_the_library_says(raw: str) -> None:
    assert normalise_email(raw) == addresses._validated(raw)


@pytest.mark.parametrize("local", ["a" * 64, "a" * 65, ".a", "a.", "a..b", "-", "+", "_"])
def test_the_short_way_keeps_the_rules_of_the_local_part(local: str) -> None:
    raw = f"{local}@example.com"
    assert normalise_email(raw) == addresses._validated(raw)
