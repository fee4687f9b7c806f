"""Encoding, units and parts of an SMS, by 3GPP TS 23.038 (alphabet) and TS 23.040 (concatenation).

GSM-7 counts septets: 160 in a single SMS, 153 in each part of a longer one; an extension character is two.
UCS-2 counts UTF-16 units: 70, or 67 a part; a character outside the BMP is two. Neither pair is ever split
between parts, so a long text can need one part more than its units say.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

Encoding = Literal["GSM-7", "UCS-2"]

MAX_CHARACTERS = 1600
"""The longest body that Twilio takes."""

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = GSM_BASIC | GSM_EXTENSION
_ONLY_BASIC = "^[" + "".join(rf"\x{{{ord(character):x}}}" for character in sorted(GSM_BASIC)) + "]*$"
_BEYOND_GSM = "[^" + "".join(rf"\x{{{ord(character):x}}}" for character in sorted(_GSM)) + "]"
_DOUBLE = r"[^\x{0}-\x{ffff}]"  # two UTF-16 units
_SINGLE, _PART = 160, 153  # septets


@dataclass(frozen=True)
class SmsSize:
    encoding: Encoding
    units: int  # septets, or UTF-16 units
    parts: int  # what is paid for


def sms_size(text: str) -> SmsSize:
    """How `text` travels. An empty text is one part of no units."""
    characters = set(text)
    if characters <= GSM_BASIC:
        return SmsSize("GSM-7", len(text), _parts_of_singles(len(text), _SINGLE, _PART))
    if characters <= _GSM:
        widths = [2 if character in GSM_EXTENSION else 1 for character in text]
        return SmsSize("GSM-7", sum(widths), _parts(widths, _SINGLE, _PART))
    widths = [2 if character > "\uffff" else 1 for character in text]
    return SmsSize("UCS-2", sum(widths), _parts(widths, 70, 67))


def sms_parts(text: str) -> int:
    return sms_size(text).parts


def _parts_of_singles(units: int, single: int, part: int) -> int:
    return 1 if units <= single else -(-units // part)


def _parts(widths: list[int], single: int, part: int) -> int:
    """Fill parts one after the other; a character that does not fit whole opens the next one."""
    units = sum(widths)
    if units <= single or units == len(widths):
        return _parts_of_singles(units, single, part)
    parts, used = 1, 0
    for width in widths:
        if used + width > part:
            parts, used = parts + 1, 0
        used += width
    return parts


def parts_of_all(texts: pl.Series) -> pl.Series:
    """`sms_parts` of every text of a String column (Int16)."""
    units = pl.lit(texts.str.len_chars().cast(pl.Int64))  # as long as no character is two
    basic, double, ucs = (texts.str.contains(each) for each in (_ONLY_BASIC, _DOUBLE, _BEYOND_GSM))
    single, part = (pl.when(pl.lit(basic)).then(gsm).otherwise(wide) for gsm, wide in ((_SINGLE, 70), (_PART, 67)))
    parts = pl.select(pl.when(units <= single).then(1).otherwise(-(-units // part)).cast(pl.Int16)).to_series()
    others = (~basic & (double | ~ucs)).arg_true()
    if others.is_empty():
        return parts
    counted = pl.Series([sms_parts(text) for text in texts.gather(others).to_list()], dtype=pl.Int16)
    return parts.scatter(others, counted)
