"""What is done to many messages at once is what is done to one."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape
from pydantic import SecretStr

from campaign_pipeline.core import ids
from campaign_pipeline.messages.batches import BatchCutter, number_batches
from campaign_pipeline.messages.environment import one_line
from campaign_pipeline.messages.links import LinkTo, message_token, message_urls
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton
from campaign_pipeline.messages.vectorised import text
from campaign_pipeline.messages.vectorised.assemble import assembled_columns, together

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ADDRESSES = ["x@example.com", "X@example.com", "y@example.com", "ß@example.com", "SS@example.com", "ss@example.com"]
messages = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.sampled_from(ADDRESSES) | st.none(), st.booleans()),
    max_size=40,
)
texts = st.lists(st.text() | st.text(st.characters(max_codepoint=0x2100)) | st.text("a<>&\"'\x00\n \u2028"), max_size=8)


@given(messages, st.integers(1, 5))
def test_batches_are_numbered_as_one_by_one(rows: list[tuple[int, str, str | None, bool]], size: int) -> None:
    frame = pl.DataFrame(
        [
            (AT + timedelta(hours=hour), "", variant, "en", "gmail.com", address or f"u{number}@example.com", alone)
            for number, (hour, variant, address, alone) in enumerate(sorted(rows, key=lambda row: row[:2]))
        ],
        schema={
            "send_at": pl.Datetime("us", "UTC"),
            "window": pl.String,
            "variant": pl.String,
            "locale": pl.String,
            "pace": pl.String,
            "address": pl.String,
            "alone": pl.Boolean,
        },
        orient="row",
    )
    cutter = BatchCutter(size)
    expected = [
        cutter.batch_of((at, variant), address, alone=alone)
        for at, _, variant, _, _, address, alone in frame.iter_rows()
    ]
    assert number_batches(frame, size).to_list() == expected


def test_message_ids_of_many_are_those_of_each() -> None:
    contacts = [ids.contact_id(str(number)) for number in range(20)] + ["", "ü"]
    run = "spring--20260302t090000z"
    expected = [ids.message_id(run, contact, "email", 2) for contact in contacts]
    assert ids.message_ids(run, contacts, "email", 2) == [
        ids.digest("message", run, contact, "email", "2") for contact in contacts
    ]
    assert ids.message_ids(run, contacts, "email", 2) == expected


@given(st.text(min_size=1, max_size=200), st.sampled_from(LinkTo))
def test_links_of_many_are_signed_as_those_of_each(secret: str, link: LinkTo) -> None:
    run, of_messages = "spring--20260302t090000z", [f"{number:024x}" for number in range(3)]
    key = SecretStr(secret)
    urls = message_urls("https://n.example.com/", key, link, run, of_messages)
    assert [url.rpartition("/")[2] for url in urls] == [message_token(key, link, run, each) for each in of_messages]


@given(texts)
def test_text_is_escaped_and_put_on_one_line_as_by_python(values: list[str]) -> None:
    column = pl.Series([*values, None], dtype=pl.String)
    assert text.escaped(column).to_list() == [*(str(escape(value)) for value in values), None]
    assert text.on_one_line(column).to_list() == [*map(one_line, values), None]
    blank = text.may_be_blank(column).to_list()
    assert all(told for value, told in zip(values, blank, strict=False) if not value.strip())


def test_every_character_is_white_space_or_a_control_where_python_says_so() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    column = pl.Series(characters)
    changed = pl.Series([one_line(character) for character in characters])
    assert text.on_one_line(column).equals(changed)
    spaces = pl.Series([not character.strip() for character in characters])
    assert not (spaces & ~text.may_be_blank(column)).any()
    assert text.escaped(column).equals(pl.Series([str(escape(character)) for character in characters]))


def test_fragments_of_columns_are_listed_and_assembled_by_message() -> None:
    skeleton = MessageSkeleton(
        (("subject", Skeleton(("a", "b"))), ("text", Skeleton(("c",))), ("html", Skeleton(("", "-", ""))))
    )
    columns = [pl.Series(["1", "2"]), pl.Series(["x", "y"]), pl.Series(["é", ""])]
    listed = together(columns, 2)
    assert listed.to_list() == [["1", "x", "é"], ["2", "y", ""]]
    found = assembled_columns(skeleton, columns, 2)
    rows = [
        dict(zip(found, values, strict=True))
        for values in zip(*(each.to_list() for each in found.values()), strict=True)
    ]
    assert rows == [skeleton.assemble(fragments) for fragments in listed.to_list()]
    assert together([], 2).to_list() == [[], []]
    assert together([], 0).dtype == listed.dtype
