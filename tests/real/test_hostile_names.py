"""The big list of naughty strings as contact names, through the sample templates of every channel."""

import json
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
from pydantic import SecretStr

from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.reading import read_template_file
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.skeletons import assemble
from campaign_pipeline.messages.sms import sms_parts
from campaign_pipeline.messages.store import StoredTemplate

FOLDER = SAMPLE_DEFINITIONS_DIR / "templates"


def names(shared_data: Path) -> list[str]:
    return json.loads((shared_data / "contacts" / "blns.json").read_text(encoding="utf-8"))


def rendered(all_names: list[str], template: str, channel: Channel) -> Rendered:
    ids = [f"{number:024x}" for number in range(len(all_names))]
    frame = pl.DataFrame(
        {
            "contact_id": ids,
            "status": "planned",
            "variant": "a",
            "address": ids,
            "send_at": datetime(2026, 3, 2, tzinfo=UTC),
            "locale": "en",
            "contact": [
                {"first_name": name, "loyalty_points": 1234, "tier": tier}
                for name, tier in zip(all_names, ["gold", "silver", "bronze"] * len(ids), strict=False)
            ],
        }
    )
    return render_run(
        frame,
        {"a": StoredTemplate(read_template_file(FOLDER / f"{template}.yaml"), 1, "0" * 24)},
        run_id="spring--20260302t090000z",
        campaign="spring",
        channel=channel,
        public_url="https://news.example.com",
        link_secret=SecretStr("a-key"),
        batch_size=100,
    ).whole()


def texts(result: Rendered) -> list[dict[str, str]]:
    return [parts for _, parts in assemble(result.skeletons, result.messages)]


class _Tags(HTMLParser):
    """The names of all elements and attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)


def test_hostile_names_add_no_element_to_an_email_and_no_line_to_its_subject(shared_data: Path) -> None:
    hostile = names(shared_data)
    assert len(hostile) == 515
    for template in ("spring_plain", "spring_emoji"):
        messages = texts(rendered(hostile, template, Channel.EMAIL))
        harmless = texts(rendered(["Ann"] * 3, template, Channel.EMAIL))
        for number, (name, parts) in enumerate(zip(hostile, messages, strict=True)):
            assert _Tags(parts["html"]).found == _Tags(harmless[number % 3]["html"]).found, number
            assert str(escape(name.strip())).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in parts["html"]
            assert len(parts["subject"].splitlines()) == 1, number
            assert not any(character < " " for character in parts["subject"]), number
            assert name.strip() in parts["text"]


def test_hostile_names_go_into_an_sms_as_they_are(shared_data: Path) -> None:
    hostile = names(shared_data)
    result = rendered(hostile, "lapsed_sms_discount", Channel.SMS)
    for name, parts, count in zip(hostile, texts(result), result.messages["sms_parts"], strict=True):
        assert name.strip()[:20] in parts["body"]
        assert parts["body"].endswith("Reply STOP to opt out")
        assert count == sms_parts(parts["body"])


def test_hostile_names_are_one_line_and_never_empty_in_whatsapp(shared_data: Path) -> None:
    hostile = names(shared_data)
    for name, parts in zip(hostile, texts(rendered(hostile, "vip_whatsapp", Channel.WHATSAPP)), strict=True):
        assert parts["var:1"].strip()
        assert len(parts["var:1"].splitlines()) == 1
        assert parts["var:1"] == "there" or parts["var:1"].replace(" ", "")[:1] == name.strip().replace(" ", "")[:1]
        assert parts["var:2"] == "1234"


def test_no_name_can_move_the_text_of_another(shared_data: Path) -> None:
    """Every message has exactly as many fragments as its skeleton has slots, and assembling finds them all."""
    hostile = names(shared_data)
    result = rendered(hostile, "spring_plain", Channel.EMAIL)
    slots = result.skeletons["slots"].sum()
    assert result.messages["fragments"].list.len().unique().to_list() == [slots]
