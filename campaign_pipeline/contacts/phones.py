"""Phone numbers as E.164, by phonenumbers; most of them by a short way that says what the library says.

The library reads anything (extensions, vanity letters, full-width digits), at 14 us a number. Most are digits, blanks
and brackets, of which only the country's prefix and lengths are in question: its own tables answer that in 2 us.
A test compares the two for every region.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata

_PLAIN = re.compile(r"[ (]*(\+?)([ ().\-/0-9]{4,40})")
_MARKS = str.maketrans("", "", " ().-/")


def normalise_phone(raw: str, region: str) -> str | None:
    """`raw` as E.164 (`+12125550123`), or None; `region` (ISO 3166-1) is that of numbers without a country code.

    "Possible" (length and country code fit) is asked for, not "valid": the ranges that regulators reserve for fiction,
    such as +44 7700 900xxx, are not valid by design, and new ranges open faster than the library's tables are updated.
    A number that is possible only within its own area lacks the area code and cannot be dialled: None.
    """
    return _plain(raw, region) or parsed(raw, region)


def parsed(raw: str, region: str) -> str | None:
    """What the library says."""
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def country_of(number: str) -> str:
    """The country of an E.164 number: its calling code such as `+49`; where several share one `+1-JM`; unknown: ""."""
    code = _country_code(number[1:4]) if number[1:4].isdecimal() else ""
    if not code or len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]) == 1:
        return code and f"+{code}"
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        region = None
    return f"+{code}-{region}" if region else f"+{code}"


class _Plan(NamedTuple):
    """What the library's tables say of one country's numbers."""

    code: str
    lengths: frozenset[int]  # of whole national numbers
    prefix: re.Pattern[str] | None  # what may stand before a national number, such as 0
    plain_prefix: bool  # the prefix is taken away, and nothing put in its place
    national: re.Pattern[str]
    abroad: re.Pattern[str] | None  # what is dialled for a number in another country, such as 00


def _plain(raw: str, region: str) -> str | None:
    """The number, if it is a plain one; None says nothing of it."""
    match = _PLAIN.fullmatch(raw)
    if match is None:
        return None
    digits = match[2].translate(_MARKS)
    if match[1]:
        code = _country_code(digits[:3])
        plan = _plan_of_code(code) if code else None
        number = digits[len(code) :]
        if plan is None or (plan.prefix is not None and plan.prefix.match(number)):
            return None
    else:
        plan = _plan_of_region(region)
        if plan is None or digits.startswith(plan.code) or (plan.abroad is not None and plan.abroad.match(digits)):
            return None
        number = _without_prefix(digits, plan)
    if number is None or len(number) not in plan.lengths or number[0] == "0":
        return None
    return f"+{plan.code}{number}"


def _without_prefix(digits: str, plan: _Plan) -> str | None:
    """The national number; None: the library has to look."""
    match = plan.prefix.match(digits) if plan.prefix is not None else None
    if match is None:
        return digits
    if not plan.plain_prefix:
        return None
    rest = digits[match.end() :]
    if plan.national.fullmatch(digits) and not plan.national.fullmatch(rest):
        return digits
    return rest


@lru_cache(maxsize=1_000)
def _country_code(first: str) -> str:
    """The country code that `first` begins with, or empty: no code is the beginning of another."""
    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return next((first[:size] for size in (1, 2, 3) if first[0] != "0" and int(first[:size]) in known), "")


@lru_cache(maxsize=1_000)
def _plan_of_code(code: str) -> _Plan | None:
    region = phonenumbers.region_code_for_country_code(int(code))
    return _plan(PhoneMetadata.metadata_for_region_or_calling_code(int(code), region))


@lru_cache(maxsize=1_000)
def _plan_of_region(region: str) -> _Plan | None:
    """None also where several regions share a code and another one speaks for it."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    code = metadata.country_code if metadata is not None else None
    if code is None or phonenumbers.region_code_for_country_code(code) != region:
        return None
    return _plan(metadata)


def _plan(metadata: PhoneMetadata | None) -> _Plan | None:
    if metadata is None or metadata.general_desc is None or metadata.general_desc.national_number_pattern is None:
        return None
    prefix = re.compile(metadata.national_prefix_for_parsing) if metadata.national_prefix_for_parsing else None
    lengths = frozenset(metadata.general_desc.possible_length) - set(metadata.general_desc.possible_length_local_only)
    return _Plan(
        str(metadata.country_code),
        lengths,
        prefix,
        prefix is None or (prefix.groups == 0 and not metadata.national_prefix_transform_rule),
        re.compile(metadata.general_desc.national_number_pattern),
        re.compile(metadata.international_prefix) if metadata.international_prefix else None,
    )
