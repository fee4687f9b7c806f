"""`plain_characters` and `max_parts`: what an SMS template may ask for."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.chunks import Job, render_chunk
from campaign_pipeline.messages.compiled import Problem, RenderingError, compile_template
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.run_context import RunContext
from campaign_pipeline.messages.skeletons import message_skeleton
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.typography import PLAIN, plain

RUN = RunContext("flash--20260302t090000z", "flash", Channel.SMS, "http://127.0.0.1", SecretStr("k"))
QUOTED = "\u201cHi {{ contact.a }}\u201d \u2013 {{ contact.b }}\u2026"


def template(body: str) -> Template:
    return Template(template="t", channel=Channel.SMS, body=body, plain_characters=True)


def one_by_one(of: Template, contact: dict[str, str]) -> str | Problem:
    compiled = compile_template(of)
    try:
        fragments = compiled.render({"contact": Record(contact)})
    except RenderingError as error:
        return error.problem
    return message_skeleton(of, compiled).assemble(fragments)["body"]


def in_columns(of: Template, contacts: list[dict[str, str]]) -> list[str | Problem]:
    chunk = pl.DataFrame(
        {
            "contact_id": [f"{number:024x}" for number in range(len(contacts))],
            "variant": "a",
            "locale": "en",
            "address": "+12025550100",
            "send_at": datetime(2026, 3, 2, tzinfo=UTC),
            "contact": pl.Series(contacts, dtype=pl.Struct({"a": pl.String, "b": pl.String})),
        }
    )
    job = Job(RUN, {"a": StoredTemplate(of, 1, "0" * 24)})
    rendered = render_chunk(job, chunk)
    texts = iter(job.variants["a", "en"].skeleton.assemble(row)["body"] for row in rendered.messages["fragments"])
    failed = {row: problem for row, _, problem, _ in rendered.failures}
    return [failed[row] if row in failed else next(texts) for row in range(len(contacts))]


def test_what_the_template_says_and_what_contacts_fill_in_become_plain() -> None:
    contact = {"a": "Zo\u00eb\u2019s", "b": "caf\u00e9\u00a0"}
    assert one_by_one(template(QUOTED), contact) == '"Hi Zo\u00eb\'s" - caf\u00e9 ...'
    assert in_columns(template(QUOTED), [contact]) == ['"Hi Zo\u00eb\'s" - caf\u00e9 ...']


def test_without_it_they_stay() -> None:
    kept = template(QUOTED).model_copy(update={"plain_characters": False})
    assert one_by_one(kept, {"a": "x", "b": "y"}) == "\u201cHi x\u201d \u2013 y\u2026"


def test_a_message_of_which_nothing_is_left_is_empty() -> None:
    nothing = {"a": "\u200b", "b": "\ufeff"}
    bare = template("{{ contact.a }}{{ contact.b }}")
    assert one_by_one(bare, nothing) == Problem("body", 1, "is empty")
    assert in_columns(bare, [nothing, {"a": "x", "b": "\u200b"}]) == [Problem("body", 1, "is empty"), "x"]


TEXT = st.text(st.sampled_from([*PLAIN, "a", "\u00e9", "\n", "{", "\U0001f338"]), max_size=12)
CONTACTS = st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), min_size=1, max_size=12)


@given(
    CONTACTS, st.sampled_from([QUOTED, "{{ contact.a }}", "{% if contact.a %}\u2026{{ contact.a }}{% endif %}\u2014"])
)
def test_both_ways_to_render_say_the_same(contacts: list[dict[str, str]], body: str) -> None:
    assert in_columns(template(body), contacts) == [one_by_one(template(body), each) for each in contacts]


@given(TEXT, TEXT)
def test_piece_by_piece_is_the_whole(one: str, other: str) -> None:
    assert plain(one) + plain(other) == plain(one + other)
    assert plain(plain(one)) == plain(one)


@pytest.mark.parametrize("field", [{"max_parts": 1}, {"plain_characters": True}])
def test_they_are_for_sms_only(field: dict[str, object]) -> None:
    given = {"template": "t", "channel": "email", "subject": "s", "html": "h", "text": "t"}
    with pytest.raises(ValidationError, match="is for SMS only"):
        Template.model_validate(given | field)
    sms = Template.model_validate({"template": "t", "channel": "sms", "body": "b", **field})
    assert sms.model_dump(exclude_defaults=True).items() >= field.items()
