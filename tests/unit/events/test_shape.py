"""The shape of a payload tells fields and kinds, and nothing that somebody wrote."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.events.shape import MOST, shape_of


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"event": "open", "n": 1.5, "ok": true, "to": null}', "{event: text, n: number, ok: bool, to: null}"),
        ('{"delivery-status": {"code": 550}}', "{delivery-status: {code: number}}"),
        ('[{"RecordType": "Open"}, 1, 2]', "[{RecordType: text}, …]"),
        ("[]", "[]"),
        ('"Ann"', "text"),
        (
            '{"ann@example.com": 1, "+1 202": 2, "mail.tags": []}',
            "{aaa@aaaaaaa.aaa: number, +9 999: number, mail.tags: []}",
        ),
        ("Hello Ann, call\n +12025550101 é", "aaaaa aaa, aaaa +99999999999 a"),
        ("", ""),
    ],
)
def test_shapes(content: str, expected: str) -> None:
    assert shape_of(content) == expected


def test_a_shape_is_short_and_no_depth_is_too_much() -> None:
    assert shape_of("[" * 1000 + "]" * 1000) == "[" * 9 + "…" + "]" * 9
    assert len(shape_of(orjson.dumps({f"name{'x' * n}": 1 for n in range(90)}).decode())) == MOST + 1


@given(st.text(), st.text())
def test_no_letter_or_digit_of_a_text_is_told(text: str, other: str) -> None:
    assert shape_of(orjson.dumps([{"name": text}, other]).decode()) == "[{name: text}, …]"
    left = set(shape_of(f"{{{text}")) - {"a", "9", "?", "…"}
    assert not any(each.isalnum() for each in left)
