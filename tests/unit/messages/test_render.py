"""Rendering a run, against the lake's contract."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages import workers
from campaign_pipeline.messages.authoring.reading import read_template_file
from campaign_pipeline.messages.definition import Input, Template, Texts, environment_of
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.links import unsubscribe_token
from campaign_pipeline.messages.preview import example_contact, preview_with_example
from campaign_pipeline.messages.render import MESSAGES_SCHEMA, Rendered, render_run
from campaign_pipeline.messages.skeletons import SKELETONS_SCHEMA, assemble, read_skeletons
from campaign_pipeline.messages.sms import sms_parts
from campaign_pipeline.messages.store import StoredTemplate, apply_template, load_template, load_templates

RUN = "spring--20260302t090000z"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = SecretStr("a-key")


def email(html: str = "<p>{{ contact.first_name }}</p>", subject: str = "Hi {{ contact.first_name }}") -> Template:
    return Template(template="hello", channel=Channel.EMAIL, subject=subject, html=html, text="{{ unsubscribe_url }}")


def sms(body: str) -> Template:
    return Template(template="short", channel=Channel.SMS, body=body)


def stored(template: Template) -> StoredTemplate:
    return StoredTemplate(template, 1, "0" * 24)


def person(number: int, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "contact_id": f"{number:024x}",
        "status": "planned",
        "variant": "a",
        "address": f"c{number}@example.com",
        "send_at": AT,
        "locale": None,
        "first_name": f"Name{number}",
    }
    return row | changes


def audience(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {name: row[name] for name in ("contact_id", "status", "variant", "address", "send_at", "locale")}
            | {
                "contact": {
                    "contact_id": row["contact_id"],
                    "first_name": row["first_name"],
                    "points": row.get("points"),
                }
            }
            for row in rows
        ],
        schema_overrides={
            "send_at": pl.Datetime("us", "UTC"),
            "variant": pl.String,
            "address": pl.String,
            "locale": pl.String,
        },
    )


def rendered(frame: pl.DataFrame, templates: dict[str, Template], batch_size: int = 100, **changes: Any) -> Rendered:
    arguments: dict[str, Any] = {
        "run_id": RUN,
        "campaign": "spring",
        "channel": next(iter(templates.values())).channel,
        "public_url": "https://news.example.com",
        "link_secret": SECRET,
        "batch_size": batch_size,
    }
    return render_run(frame, {name: stored(one) for name, one in templates.items()}, **(arguments | changes)).whole()


def test_a_message_says_to_each_contact_what_the_template_says() -> None:
    result = rendered(audience(person(1), person(2, first_name="<Bo>")), {"a": email()})
    texts = dict(assemble(result.skeletons, result.messages))
    second = message_id(RUN, f"{2:024x}", "email")
    assert texts[second] == {
        "subject": "Hi <Bo>",
        "html": "<p>&lt;Bo&gt;</p>",
        "text": f"https://news.example.com/u/{unsubscribe_token(SECRET, RUN, second)}",
    }
    row = result.messages.row(1, named=True)
    assert row["fragments"][:2] == ["<Bo>", "&lt;Bo&gt;"]
    assert row["message_id"] == second
    assert (row["address"], row["sms_parts"]) == ("c2@example.com", None)
    assert read_skeletons(result.skeletons)["a", "en"].assemble(row["fragments"]) == texts[second]


def test_the_frames_are_as_the_lake_wants_them() -> None:
    result = rendered(audience(person(1)), {"a": email(), "b": email()})
    assert dict(result.messages.schema) == MESSAGES_SCHEMA
    assert dict(result.skeletons.schema) == SKELETONS_SCHEMA
    assert result.skeletons.select("variant", "part", "slots").rows() == [
        (variant, part, 1) for variant in "ab" for part in ("subject", "html", "text")
    ]
    assert result.skeletons["constants"].to_list()[:2] == [["Hi ", ""], ["<p>", "</p>"]]


def test_only_planned_contacts_get_a_message() -> None:
    others = [
        person(n, status=status, variant=None, address=None, send_at=None)
        for n, status in enumerate(("held_out", "no_address", "no_consent", "suppressed", "duplicate_address"), 10)
    ]
    result = rendered(audience(person(1), *others), {"a": email()})
    assert result.messages["contact_id"].to_list() == [f"{1:024x}"]


def test_messages_are_ordered_by_time_variant_and_contact_and_batched_alike() -> None:
    late = AT + timedelta(hours=1)
    rows = [person(4, send_at=late), person(3, variant="b"), person(2), person(1), person(5)]
    result = rendered(audience(*rows), {"a": email(), "b": email()}, batch_size=2)
    assert result.messages.select("message_no", "batch_no", "contact_id").rows() == [
        (0, 0, f"{1:024x}"),
        (1, 0, f"{2:024x}"),
        (2, 1, f"{5:024x}"),
        (3, 2, f"{3:024x}"),
        (4, 3, f"{4:024x}"),
    ]


def test_rendering_twice_gives_the_same_whatever_the_order_of_the_audience() -> None:
    rows = [person(n, variant="ab"[n % 2]) for n in range(50)]
    first = rendered(audience(*rows), {"a": email(), "b": email()})
    second = rendered(audience(*reversed(rows)), {"b": email(), "a": email()})
    assert_frame_equal(first.messages, second.messages)
    assert_frame_equal(first.skeletons, second.skeletons)


def test_a_message_over_sendgrids_limit_has_a_batch_of_its_own() -> None:
    rows = [person(1), person(2, first_name="x" * 5_000), person(3), person(4, first_name="x" * 4_000)]
    assert rendered(audience(*rows), {"a": email()}).messages["batch_no"].to_list() == [0, 1, 0, 0]


def test_progress_ends_with_all_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CHUNK", 100)
    seen: list[tuple[int, int]] = []
    frame = audience(*(person(n) for n in range(203)))
    rendered(frame, {"a": email()}, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(100, 203), (200, 203), (203, 203)]


def test_an_audience_without_planned_contacts_gives_skeletons_and_no_message() -> None:
    result = rendered(audience(person(1, status="held_out")), {"a": email()})
    assert (result.messages.height, result.skeletons.height) == (0, 3)


def test_who_cannot_be_rendered_is_told_with_template_part_line_and_variable() -> None:
    rows = [person(n, first_name=None if n >= 3 else "Ann") for n in range(12)]
    with pytest.raises(InvalidInput) as caught:
        rendered(audience(*rows), {"a": email(html="<p>\n{{ contact.first_name }}</p>", subject="Hi")})
    ids = ", ".join(f"{n:024x}" for n in range(3, 8))
    assert f"template hello: html, line 2: contact.first_name is null (contacts: 9; first {ids})" in str(caught.value)
    assert "spring--20260302t090000z cannot be rendered" in caught.value.message
    assert "Ann" not in str(caught.value)


def test_every_kind_of_problem_is_told() -> None:
    template = email(html="{{ contact.nmae }}", subject="{{ 1 // contact.points }}")
    rows = [person(1, points=0), person(2, points=1)]
    with pytest.raises(InvalidInput) as caught:
        rendered(audience(*rows), {"a": template})
    assert "subject, line 1: fails with ZeroDivisionError (contacts: 1;" in caught.value.message
    assert "html, line 1: contact.nmae is undefined (contacts: 1;" in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["", " ", "\u2003", "\n"])
def test_a_part_without_text_is_a_problem(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"subject, line 1: is empty \(contacts: 1;"):
        rendered(audience(person(1, first_name=name)), {"a": email(subject="{{ contact.first_name }}")})


def test_a_line_break_in_a_subject_becomes_a_space() -> None:
    name = "Bo\r\nBcc: all@example.com\x00\u2028x"
    result = rendered(audience(person(1, first_name=name)), {"a": email()})
    ((_, texts),) = assemble(result.skeletons, result.messages)
    assert texts["subject"] == "Hi Bo Bcc: all@example.com x"
    assert "\n" in texts["html"]


def test_a_line_break_of_the_subject_template_becomes_a_space_too() -> None:
    subject = "one\n{% if true %}two\nthree{% endif %}"
    result = rendered(audience(person(1)), {"a": email(subject=subject)})
    ((_, texts),) = assemble(result.skeletons, result.messages)
    assert texts["subject"] == "one two three"


def test_an_sms_knows_its_parts() -> None:
    rows = [person(1, first_name="a" * 160), person(2, first_name="a" * 161), person(3, first_name="я" * 71)]
    result = rendered(audience(*rows), {"a": sms("{{ contact.first_name }}")})
    assert result.messages["sms_parts"].to_list() == [1, 2, 2]


def test_an_sms_that_twilio_would_refuse_is_a_problem() -> None:
    with pytest.raises(InvalidInput, match="body, line 1: is longer than 1600 characters"):
        rendered(audience(person(1, first_name="a" * 1601)), {"a": sms("{{ contact.first_name }}")})


def test_a_whatsapp_message_is_its_content_sid_and_its_variables() -> None:
    sid = "HX" + "a" * 32
    template = Template(
        template="vip",
        channel=Channel.WHATSAPP,
        content_sid=sid,
        variables={"1": "{{ contact.first_name }}", "2": "always"},
    )
    result = rendered(audience(person(1, first_name="Bo\n\tB")), {"a": template})
    assert result.messages["fragments"].to_list() == [["Bo B"]]
    assert read_skeletons(result.skeletons)["a", "en"].assemble(["Bo B"]) == {
        "content_sid": sid,
        "var:1": "Bo B",
        "var:2": "always",
    }


def test_a_template_of_another_channel_is_refused() -> None:
    with pytest.raises(InvalidInput, match="variant 'a': template 'short' is for sms, the campaign is email"):
        rendered(audience(person(1)), {"a": sms("x")}, channel=Channel.EMAIL)


def test_the_fragments_of_a_variant_without_skeleton_cannot_be_assembled() -> None:
    result = rendered(audience(person(1)), {"a": email()})
    with pytest.raises(NotFound, match="variant 'b' has no skeleton in en"):
        list(assemble(result.skeletons, result.messages.with_columns(variant=pl.lit("b"))))


def test_a_preview_shows_each_variant_to_a_made_up_contact() -> None:
    schema: dict[str, Any] = {"first_name": pl.String(), "points": pl.Int64(), "vip": pl.Boolean(), "tier": pl.String()}
    contact = example_contact(schema)
    assert contact == {"first_name": "Alex", "points": 120, "vip": True, "tier": "example"}
    shown = preview_with_example(
        {"b": stored(sms("{{ contact.points }} {{ variant }} {{ campaign }}")), "a": stored(email())},
        contact,
        campaign="spring",
        public_url="https://news.example.com",
    )
    assert shown["b"] == {"body": "120 b spring"}
    assert shown["a"]["text"] == "https://news.example.com/u/example"
    assert list(shown) == ["a", "b"]


def test_a_preview_that_fails_names_the_part() -> None:
    with pytest.raises(InvalidInput, match=r"template short: body, line 1: contact\.x is undefined"):
        preview_with_example({"a": stored(sms("{{ contact.x }}"))}, {}, campaign="c", public_url="http://127.0.0.1")


@pytest.mark.parametrize(
    "name", ["spring_plain", "spring_emoji", "lapsed_sms_discount", "lapsed_sms_points", "vip_whatsapp"]
)
@pytest.mark.parametrize("tier", ["bronze", "silver", "gold"])
@pytest.mark.parametrize("points", [0, 120, 5_000])
def test_a_sample_template_says_what_jinja2_would(name: str, tier: str, points: int) -> None:
    template = read_template_file(SAMPLE_DEFINITIONS_DIR / "templates" / f"{name}.yaml")
    for first_name in (None, "", " Zoé ", "<Bo> & Co"):
        contact = {"first_name": first_name, "loyalty_points": points, "tier": tier}
        shown = preview_with_example({"a": stored(template)}, contact, campaign="c", public_url="https://n.example.com")
        context = {
            "contact": Record(contact),
            "campaign": "c",
            "variant": "a",
            "unsubscribe_url": "https://n.example.com/u/example",
        }
        expected = {
            part: environment_of(part).from_string(text).render(context) for part, text in template.parts().items()
        }
        assert {part: text for part, text in shown["a"].items() if part != "content_sid"} == expected
        assert not any("None" in text for text in expected.values())
        assert all(text.strip() for text in expected.values())
        assert all(sms_parts(text) == 1 for part, text in expected.items() if part == "body")


def test_templates_are_kept_as_versions(engine: sa.Engine, tmp_path: Path) -> None:
    with writing(engine) as connection:
        change, first = apply_template(connection, email(), AT)
        assert (change, first.version) == ("new", 1)
        assert apply_template(connection, email(), AT)[0] == "unchanged"
        change, second = apply_template(connection, email(subject="Hello"), AT)
        assert (change, second.version) == ("changed", 2)
        apply_template(connection, sms("x"), AT)
    with reading(engine) as connection:
        assert list(load_templates(connection)) == ["hello", "short"]
        assert load_template(connection, "hello") == second
        assert second.hash != first.hash


def test_everybody_gets_the_nearest_language_in_batches_of_their_own() -> None:
    german = Texts(subject="Hallo {{ contact.points | number }}", html="<p>x</p>", text="x")
    template = email(subject="Hi {{ contact.points | number }}").model_copy(update={"locales": {"de": german}})
    people = (person(n, locale=tag, points=1234) for n, tag in enumerate(["de-AT", "fr", "de", None]))
    result = rendered(audience(*people), {"a": template})
    assert result.messages.select("contact_id", "locale", "batch_no").rows() == [
        (f"{number:024x}", locale, batch)
        for number, locale, batch in [(0, "de", 0), (2, "de", 0), (1, "en", 1), (3, "en", 1)]
    ]
    subjects = {parts["subject"] for _, parts in assemble(result.skeletons, result.messages)}
    assert subjects == {"Hi 1,234", "Hallo 1.234"}
    assert result.skeletons["locale"].to_list() == ["en"] * 3 + ["de"] * 3


def test_a_default_of_the_template_stands_for_a_null_and_for_a_field_that_is_not_there() -> None:
    inputs = {"first_name": Input(default="there"), "shoe_size": Input(type=ValueType.INTEGER, default=42)}
    template = sms("Hi {{ contact.first_name }} {{ contact.shoe_size }}").model_copy(update={"inputs": inputs})
    result = rendered(audience(person(1, first_name=None), person(2)), {"a": template})
    texts = [parts["body"] for _, parts in assemble(result.skeletons, result.messages)]
    assert texts == ["Hi there 42", "Hi Name2 42"]
