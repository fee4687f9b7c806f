"""The short way to E.164 says what the library says, for every region."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.phones import country_of, normalise_phone, parsed

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = (
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.TOLL_FREE,
)
FORMS = (
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
)


@pytest.mark.parametrize("region", REGIONS)
def test_the_examples_of_a_region_are_read_as_the_library_reads_them(region: str) -> None:
    for kind in KINDS:
        example = phonenumbers.example_number_for_type(region, kind)
        for form in FORMS if example is not None else ():
            raw = phonenumbers.format_number(example, form)
            for near in (region, "US", "IT"):
                assert normalise_phone(raw, near) == parsed(raw, near), (raw, near)


def test_an_example_is_its_own_number() -> None:
    example = phonenumbers.example_number_for_type("AT", phonenumbers.PhoneNumberType.MOBILE)
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    assert normalise_phone(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL), "AT") == e164


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+4915112345678", "+49"),
        ("+12125550100", "+1-US"),
        ("+18765550100", "+1-JM"),
        ("+77011234567", "+7-KZ"),
        ("+447400123456", "+44-GB"),
        ("+441481960123", "+44-GG"),
        ("+19995550100", "+1"),  # nobody's
        ("+1", "+1"),
        ("+999123", ""),
        ("user@example.com", ""),
        ("", ""),
    ],
)
def test_the_country_of_a_number_is_its_code_or_its_region(number: str, country: str) -> None:
    assert country_of(number) == country


codes = st.sampled_from(["", "+", "00", "011", *(f"+{code}" for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)])
prefixes = st.sampled_from(["", "0", "1", "(0) ", "8"])


@given(codes, prefixes, st.text("0123456789", max_size=14), st.sampled_from(REGIONS), st.integers(0, 14))
def test_any_digits_are_read_as_the_library_reads_them(
    code: str, prefix: str, digits: str, region: str, cut: int
) -> None:
    raw = f"{code}{prefix}{digits[:cut]} {digits[cut:]}"
    assert normalise_phone(raw, region) == parsed(raw, region)


@given(st.text("0123456789+ ().-/x#;,abc٣３", max_size=20), st.sampled_from(REGIONS))
def test_other_signs_too(raw: str, region: str) -> None:
    assert normalise_phone(raw, region) == parsed(raw, region)
