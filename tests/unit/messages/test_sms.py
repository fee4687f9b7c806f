"""SMS encoding, units and parts at every border."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.messages.sms import GSM_BASIC, GSM_EXTENSION, SmsSize, parts_of_all, sms_parts, sms_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", SmsSize("GSM-7", 0, 1)),
        ("a" * 160, SmsSize("GSM-7", 160, 1)),
        ("a" * 161, SmsSize("GSM-7", 161, 2)),
        ("a" * 306, SmsSize("GSM-7", 306, 2)),
        ("a" * 307, SmsSize("GSM-7", 307, 3)),
        ("€" * 80, SmsSize("GSM-7", 160, 1)),
        ("€" * 81, SmsSize("GSM-7", 162, 2)),
        ("€" * 152, SmsSize("GSM-7", 304, 2)),  # 76 a part: the 153rd septet stays empty
        ("€" * 153, SmsSize("GSM-7", 306, 3)),  # 306 septets would fit two parts, if a pair could be split
        ("a" * 152 + "€" + "a" * 152, SmsSize("GSM-7", 306, 3)),
        ("a" * 151 + "€" + "a" * 153, SmsSize("GSM-7", 306, 2)),
        ("я" * 70, SmsSize("UCS-2", 70, 1)),
        ("я" * 71, SmsSize("UCS-2", 71, 2)),
        ("я" * 134, SmsSize("UCS-2", 134, 2)),
        ("я" * 135, SmsSize("UCS-2", 135, 3)),
        ("😀" * 35, SmsSize("UCS-2", 70, 1)),
        ("😀" * 36, SmsSize("UCS-2", 72, 2)),
        ("😀" * 66, SmsSize("UCS-2", 132, 2)),
        ("😀" * 67, SmsSize("UCS-2", 134, 3)),  # 33 a part: a surrogate pair is not split
        ("я" * 66 + "😀" + "я" * 66, SmsSize("UCS-2", 134, 3)),
        ("ç", SmsSize("UCS-2", 1, 1)),
        ("Ç", SmsSize("GSM-7", 1, 1)),
        ("a`", SmsSize("UCS-2", 2, 1)),
        ("\x1b", SmsSize("UCS-2", 1, 1)),  # the escape itself is no character
        ("€😀", SmsSize("UCS-2", 3, 1)),  # in UCS-2 the euro sign is one unit
        ("\n\r\f", SmsSize("GSM-7", 4, 1)),
    ],
)
def test_the_size_of_a_text(text: str, size: SmsSize) -> None:
    assert sms_size(text) == size


def test_the_alphabet_is_the_standards() -> None:
    assert len(GSM_BASIC) == 127  # 128 places, of which one is the escape
    assert len(GSM_EXTENSION) == 10
    assert not GSM_BASIC & GSM_EXTENSION


@given(st.text(st.sampled_from(sorted(GSM_BASIC | GSM_EXTENSION)), max_size=700))
def test_parts_are_never_fewer_than_units_need_nor_more_than_one_unit_lost_a_part(text: str) -> None:
    size = sms_size(text)
    assert size.encoding == "GSM-7"
    if size.units > 160:
        assert -(-size.units // 153) <= size.parts <= -(-size.units // 152)


@given(st.text(max_size=300), st.text(max_size=5))
def test_more_text_never_takes_fewer_parts(text: str, more: str) -> None:
    assert sms_parts(text + more) >= sms_parts(text)


@given(st.lists(st.text(st.sampled_from("a\n€[é🌸яb"), max_size=400), max_size=20))
def test_the_parts_of_a_column_are_those_of_its_texts(texts: list[str]) -> None:
    many = [text * 3 for text in texts] + texts
    assert parts_of_all(pl.Series(many, dtype=pl.String)).to_list() == [sms_parts(text) for text in many]


def test_every_character_of_the_alphabet_is_counted_alike_in_a_column() -> None:
    texts = [character * length for character in sorted(GSM_BASIC | GSM_EXTENSION) for length in (1, 80, 81, 160, 161)]
    texts += ["", "ж" * 70, "ж" * 71, "a" * 153 + "b" * 154, "🌸" * 35, "🌸" * 36]
    assert parts_of_all(pl.Series(texts)).to_list() == [sms_parts(text) for text in texts]
