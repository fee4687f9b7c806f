"""Checks over all messages of a run: by columns, and of the HTML of some."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from campaign_pipeline.core.checks import CHECKS
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.checks.finding import Finding, as_frame, together
from campaign_pipeline.messages.checks.rendered import check_messages
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.links import LinkTo, message_urls
from campaign_pipeline.messages.render import render_run
from campaign_pipeline.messages.skeletons import read_skeletons
from campaign_pipeline.messages.store import StoredTemplate

RUN_ID, SECRET, URL = "flash--20260302t090000z", SecretStr("k"), "http://127.0.0.1"
OUT = '<a href="{{ unsubscribe_url }}">out</a>'


def unsubscribe(message_id: str) -> str:
    return next(message_urls(URL, SECRET, LinkTo.UNSUBSCRIBE, RUN_ID, [message_id]))


def found(fields: dict[str, Any], contacts: Sequence[dict[str, Any]], looked_at: int = 20) -> list[Finding]:
    template = Template.model_validate({"template": "t", **fields})
    audience = pl.DataFrame(
        {
            "contact_id": [f"c{number}" for number in range(len(contacts))],
            "status": "planned",
            "variant": "a",
            "locale": [each.get("locale", "en") for each in contacts],
            "address": [f"+1202555{number:04}" for number in range(len(contacts))],
            "send_at": datetime(2026, 3, 2, tzinfo=UTC),
            "contact": contacts,
        }
    )
    rendered = render_run(
        audience,
        {"a": StoredTemplate(template, 1, "0" * 24)},
        run_id=RUN_ID,
        campaign="flash",
        channel=template.channel,
        public_url=URL,
        link_secret=SECRET,
        batch_size=50,
    ).whole()
    return check_messages(
        read_skeletons(rendered.skeletons), rendered.messages, {"a": template}, unsubscribe, looked_at
    )


def email(**fields: object) -> dict[str, object]:
    return {"channel": "email", "subject": "Hi", "html": f"<p>Hi</p>\n{OUT}", "text": "Hi", **fields}


def test_good_messages_have_no_findings() -> None:
    assert found(email(), [{"x": "1"}, {"x": "2"}]) == []
    body = "Hi {{ contact.x }}, reply Stop to opt out"
    assert found({"channel": "sms", "body": body, "max_parts": 1}, [{"x": "1"}]) == []


def test_a_long_subject_is_told_of_those_who_get_one() -> None:
    names = ["x" * 10, "y" * 200, "z", *["w" * 160] * 6]
    (finding,) = found(email(subject="{{ contact.x }}"), [{"x": name} for name in names])
    assert (finding.check, finding.variant, finding.locale, finding.contacts) == ("long_subject", "a", "en", 7)
    assert finding.problem.startswith("has 200 characters")
    assert finding.sample == ("c1", "c3", "c4", "c5", "c6")


def test_html_is_looked_at_and_the_template_s_line_is_told() -> None:
    html = (
        "{% if contact.x %}\n<p>gold</p>\n<p>gold</p>\n{% endif %}\n"
        f'<p>Hi {{{{ contact.x }}}}</p>\n{OUT}\n<img src="a.png">\n<a href="{{{{ contact.x }}}}">go</a>\n'
    )
    findings = found(email(html=html), [{"x": ""}, {"x": "http://"}])
    assert [(each.check, each.line, each.contacts, each.problem) for each in findings] == [
        ("bad_link", 8, 1, "a link has no address"),
        ("image_without_alt", 7, 2, 'an image has no alt (alt="" for decoration)'),
        ("bad_link", 8, 1, "a link names no host"),
    ]


def test_as_much_html_is_read_as_is_asked_for_spread_over_all() -> None:
    people = [{"x": str(number)} for number in range(100)]
    (finding,) = found(email(html="<p>{{ contact.x }}</p>"), people, looked_at=5)
    assert (finding.check, finding.contacts, finding.sample) == (
        "missing_unsubscribe",
        5,
        ("c0", "c27", "c45", "c63", "c81"),
    )


def test_clipped_html_is_found_whoever_has_it() -> None:
    people = [{"x": "ab"}] * 30 + [{"x": "\u00e9" * 52_000}]
    (finding,) = found(email(html=f"<p>{{{{ contact.x }}}}</p>{OUT}"), people, looked_at=1)
    assert (finding.check, finding.contacts, finding.sample) == ("clipped_html", 1, ("c30",))


def test_a_page_that_shows_nothing() -> None:
    html = "<html><head><style>p {}</style><title>T</title></head><body><p> </p></body></html>"
    assert [each.check for each in found(email(html=html), [{"x": "1"}])] == ["empty_part", "missing_unsubscribe"]


def test_sms_parts_and_the_way_out() -> None:
    body = {"channel": "sms", "body": "{{ contact.x }}", "max_parts": 2}
    people = [{"x": "a" * 306 + "stop"}, {"x": "unstoppable"}, {"x": "Reply STOP"}]
    assert [(each.check, each.contacts, each.sample) for each in found(body, people)] == [
        ("too_many_parts", 1, ("c0",)),
        ("missing_stop", 2, ("c0", "c1")),
    ]


def test_whatsapp_variables_and_their_approved_text() -> None:
    template = {
        "channel": "whatsapp",
        "content_sid": "HX" + "0" * 32,
        "variables": {"1": "{{ contact.x }}", "2": "b"},
        "preview": "Hi {{1}}, {{1}} and {{3}}",
    }
    people = [{"x": "a    b"}, {"x": "y" * 505}, {"x": "y" * 504}]  # two of them and 15 more; 1024 is the limit
    assert [(each.part, each.contacts, each.sample) for each in found(template, people)] == [
        ("var:1", 1, ("c0",)),
        ("var:3", 0, ()),
        ("var:2", 0, ()),
        ("preview", 1, ("c1",)),
    ]


def test_free_text_on_whatsapp_has_a_length() -> None:
    template = {"channel": "whatsapp", "body": "Hi {{ contact.x }}"}
    findings = found(template, [{"x": "y" * 1597}, {"x": "y" * 1598}])
    assert [(each.check, each.part, each.sample) for each in findings] == [("whatsapp_rule", "body", ("c1",))]


def test_each_language_by_itself() -> None:
    german = {"subject": "Hallo", "html": "<p>Hallo</p>", "text": "Hallo"}
    findings = found(email(locales={"de": german}), [{"locale": "de-AT"}, {"locale": "en"}])
    assert [(each.locale, each.check) for each in findings] == [("de", "missing_unsubscribe")]


@pytest.mark.parametrize("channel", Channel)
def test_no_messages_no_findings(channel: Channel) -> None:
    parts = {
        Channel.EMAIL: email(),
        Channel.SMS: {"channel": "sms", "body": "b"},
        Channel.WHATSAPP: {"channel": "whatsapp", "content_sid": "HX" + "0" * 32},
        Channel.WEBHOOK: {"channel": "webhook", "body": "Hi"},
    }[channel]
    template = Template.model_validate({"template": "t", **parts})
    nobody = pl.DataFrame(schema={"variant": pl.String, "locale": pl.String})
    assert check_messages({}, nobody, {"a": template}, unsubscribe) == []


def test_findings_as_a_table_have_ids_and_no_more() -> None:
    one = Finding("bad_link", "html", 3, "a link names no host", contacts=2, sample=("c1", "c2"))
    (merged,) = together([one, Finding("bad_link", "html", 3, "a link names no host", contacts=1, sample=("c2",))])
    assert as_frame([merged]).row(0, named=True) == {
        "check": "bad_link",
        "part": "html",
        "line": 3,
        "problem": "a link names no host",
        "severity": "error",
        "variant": "",
        "locale": "",
        "contacts": 3,
        "first_contacts": "c1, c2",
    }
    assert as_frame([]).columns == as_frame([one]).columns
    assert one.check in CHECKS
