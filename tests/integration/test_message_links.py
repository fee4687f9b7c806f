"""The links of a message over HTTP: clicks, preferences, the message in a browser; and what the inbox makes of them."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, request_run
from campaign_pipeline.contacts.consent import current_consent, record_consent
from campaign_pipeline.contacts.suppression import Suppression, active_suppressions, suppress
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import consents, contacts
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.messages.clicks import Click, click_url
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.links import LinkTo, message_token
from campaign_pipeline.messages.render import render_run
from campaign_pipeline.messages.skeletons import assemble
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.tracking import link_rules
from campaign_pipeline.web.server import ReceiverServer
from tests.rehearsal import AS_OF

HTML = """<p>Hi {{ contact.first_name }}</p><a href="https://shop.example/Spring;v=1?a=1&amp;b={{ contact.first_name |
urlencode }}">go</a> <a href="https://shop.example/x">x</a> <a href="{{ preferences_url }}">p</a>
<a href="{{ view_url }}">v</a> <a href="{{ unsubscribe_url }}">u</a>"""
TEMPLATE = Template(template="t", channel=Channel.EMAIL, subject="Hi", html=HTML, text="{{ view_url }}")
CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "spring",
        "channel": "email",
        "segment": "s",
        "track_clicks": "own",
        "variants": [{"name": "a", "weight": 1, "template": "t"}],
    }
)


@dataclass(frozen=True)
class World:
    server: ReceiverServer
    engine: sa.Engine
    lake: Lake
    run_id: str
    messages: pl.DataFrame
    texts: dict[str, dict[str, str]]

    def message(self, number: int = 0) -> str:
        return self.messages["message_id"][number]

    def url(self, link: LinkTo, path: str, number: int = 0) -> str:
        secret = self.server.settings.link_secret
        return f"{self.server.url}/{path}/{message_token(secret, link, self.run_id, self.message(number))}"

    def links(self, number: int = 0) -> list[str]:
        return [unescape(link) for link in re.findall(r'href="([^"]+)"', self.texts[self.message(number)]["html"])]

    def kept(self) -> list[dict[str, Any]]:
        files = sorted(self.server.settings.inbox_dir.glob("*.jsonl"))
        return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]

    def take_in(self) -> Any:
        return receive(self.engine, self.lake, self.server.settings)

    def consent(self, channel: Channel, purpose: str = "marketing") -> dict[str, str]:
        with reading(self.engine) as connection:
            return {row[0]: row[2] for row in current_consent(connection, channel, purpose).iter_rows()}


def world(settings: Settings, engine: sa.Engine, server: ReceiverServer, names: list[str]) -> World:
    """Everybody of `names` got an e-mail of one run, and consented to e-mail; the first to SMS of another topic too."""
    ids = [f"{number:024x}" for number in range(len(names))]
    with writing(engine) as connection:
        for contact_id, name in zip(ids, names, strict=True):
            row = {"contact_id": contact_id, "external_id": contact_id, "email": f"{contact_id}@x.example"}
            row |= {"first_name": name, "phone": "+12025550101", "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AS_OF, "updated_at": AS_OF}))
            record_consent(connection, contact_id, Channel.EMAIL, ConsentState.GRANTED, source="form", at=AS_OF)
        record_consent(
            connection, ids[0], Channel.SMS, ConsentState.WITHDRAWN, source="form", at=AS_OF, purpose="shop_news"
        )
        apply_campaign(connection, CAMPAIGN, AS_OF)
        run_id = request_run(connection, "spring", AS_OF, requested_by="test", at=AS_OF)
    people = pl.DataFrame({"contact_id": ids, "contact": [{"first_name": name} for name in names]})
    audience = people.with_columns(
        status=pl.lit("planned"),
        variant=pl.lit("a"),
        locale=pl.lit("en"),
        address=pl.format("{}@x.example", "contact_id"),
        send_at=pl.lit(AS_OF).cast(pl.Datetime("us", "UTC")),
    )
    rendered = render_run(
        audience,
        {"a": StoredTemplate(TEMPLATE, 1, "0" * 24)},
        run_id=run_id,
        campaign="spring",
        channel=Channel.EMAIL,
        public_url=server.url,
        link_secret=settings.link_secret,
        batch_size=100,
        links=link_rules(CAMPAIGN),
    ).whole()
    lake = Lake(settings.lake_dir)
    lake.write(rendered.skeletons, "skeletons", run_id)
    lake.write(rendered.messages, "messages", run_id)
    texts = dict(assemble(rendered.skeletons, rendered.messages))
    return World(server, engine, lake, run_id, rendered.messages, texts)


@pytest.fixture
def server(settings: Settings) -> Iterator[ReceiverServer]:
    with ReceiverServer(settings) as running:
        yield running


@pytest.fixture
def sent(settings: Settings, engine: sa.Engine, server: ReceiverServer) -> World:
    return world(settings, engine, server, ["Ann", "Ö & <b>"])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def request(
    url: str, body: bytes | None = None, method: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str, Mapping[str, str]]:
    asked = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.build_opener(_NoRedirect).open(asked, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


class Form(HTMLParser):
    """What a browser would send of a page's form: (name, value) of hidden fields and boxes, and which are on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hidden: list[tuple[str, str]] = []
        self.boxes: dict[str, bool] = {}
        self.methods: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if tag == "form":
            self.methods.append(fields.get("method"))
        if tag == "input" and fields.get("type") == "hidden":
            self.hidden.append((fields["name"] or "", fields["value"] or ""))
        if tag == "input" and fields.get("type") == "checkbox":
            self.boxes[fields["value"] or ""] = "checked" in fields

    def body(self, **extra: str) -> bytes:
        on = [("on", name) for name, checked in self.boxes.items() if checked]
        return urlencode([*self.hidden, *on, *extra.items()]).encode()


# ---- clicks -------------------------------------------------------------------------------------------------------


def test_a_click_is_kept_and_leads_to_the_target(sent: World) -> None:
    for number, b in ((0, "Ann"), (1, "%C3%96%20%26%20%3Cb%3E")):
        link = sent.links(number)[0]
        assert link.startswith(f"{sent.server.url}/r/")
        status, page, headers = request(link, headers={"User-Agent": "Browser/1"})
        assert (status, page) == (302, "")
        assert headers["location"] == f"https://shop.example/Spring;v=1?a=1&b={b}"
        assert (headers["cache-control"], headers["x-robots-tag"]) == ("no-store", "noindex")
    first, second = sent.kept()
    assert (first["provider"], first["kind"], first["query"]["user_agent"]) == ("own", "click", "Browser/1")
    assert second["query"]["message_id"] == sent.message(1)
    assert sent.take_in().events == 2
    events = pl.read_parquet(sent.lake.glob("received_events")).sort("url")
    assert events["type"].to_list() == ["clicked", "clicked"]
    assert events["channel"].to_list() == ["email", "email"]
    assert set(events["message_id"]) == set(sent.messages["message_id"])
    assert events["url"].to_list()[1] == "https://shop.example/Spring;v=1?a=1&b=Ann"


def test_two_clicks_are_two_events_and_machines_are_marked(sent: World) -> None:
    link = sent.links()[1]
    request(link)
    request(link)
    assert request(link, method="HEAD")[0] == 302
    request(link, headers={"Sec-Purpose": "prefetch;prerender"})
    assert sent.take_in().events == 4
    events = pl.read_parquet(sent.lake.glob("received_events"))
    assert events["event_id"].n_unique() == 4
    assert events["machine"].sum() == 2


def test_only_what_we_signed_is_followed(sent: World) -> None:
    secret = sent.server.settings.link_secret
    good = sent.links()[1]
    evil = click_url(sent.server.url, type(secret)("other"), Click(sent.run_id, sent.message(), "https://evil.example"))
    script = click_url(sent.server.url, secret, Click(sent.run_id, sent.message(), "javascript:alert(1)"))
    for url in (
        evil,
        script,
        good[:-2],
        f"{sent.server.url}/r/evil.example",
        f"{good}?to=https://evil.example",
    ):
        status, page, headers = request(url)
        if "?" in url:
            assert headers["location"] == "https://shop.example/x"
            continue
        assert status == 404
        assert "location" not in headers
        assert "This link does not work" in page
    assert request(good, b"x")[0] == 405
    assert len(sent.kept()) == 1


def test_a_target_cannot_add_a_header(sent: World) -> None:
    secret = sent.server.settings.link_secret
    target = "https://shop.example/a\r\nSet-Cookie: x=1\n ü|"
    link = click_url(sent.server.url, secret, Click(sent.run_id, sent.message(), target))
    parts = urlsplit(link)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    assert answer.getheader("set-cookie") is None
    assert answer.getheader("location") == "https://shop.example/a%0D%0ASet-Cookie:%20x=1%0A%20%C3%BC%7C"
    connection.close()


def test_who_clicks_gets_there_even_if_the_inbox_cannot_write(sent: World) -> None:
    sent.server.settings.inbox_dir.rmdir()
    assert request(sent.links()[1])[0] == 302


# ---- preferences --------------------------------------------------------------------------------------------------


def test_looking_at_preferences_changes_nothing(sent: World) -> None:
    url = sent.links()[2]
    assert url == sent.url(LinkTo.PREFERENCES, "p")
    for method in ("GET", "GET", "HEAD"):
        status, page, headers = request(url, method=method)
        assert status == 200
    status, page, headers = request(url)
    assert Form(page).methods == ["post"]
    assert Form(page).boxes == {"email:marketing": True, "sms:shop_news": False}
    assert "<legend>Shop news</legend>" in page
    assert not any(mark in page for mark in ("<script", "Ann", "@x.example", "+1202"))
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert sent.kept() == []


def test_what_is_saved_is_appended_with_evidence_and_shown_the_next_time(sent: World) -> None:
    url, contact = sent.url(LinkTo.PREFERENCES, "p"), sent.messages["contact_id"][0]
    form = Form(request(url)[1])
    form.boxes = {"email:marketing": False, "sms:shop_news": True}
    status, page, _ = request(url, form.body())
    assert (status, "saved" in page) == (200, True)
    assert sent.consent(Channel.EMAIL)[contact] == "granted"  # not before the inbox is taken in
    received = sent.take_in()
    assert (received.preferences, received.rejected) == (2, 0)
    assert sent.consent(Channel.EMAIL) == {contact: "withdrawn", sent.messages["contact_id"][1]: "granted"}
    assert sent.consent(Channel.SMS, "shop_news") == {contact: "granted"}
    with reading(sent.engine) as connection:
        rows = connection.execute(sa.select(consents).where(consents.c.source == "preferences")).all()
    assert len(rows) == 2
    for row in rows:
        assert row.evidence == {"run_id": sent.run_id, "message_id": sent.message(), "ip": "127.0.0.1"}
    assert Form(request(url)[1]).boxes == form.boxes
    events = pl.read_parquet(sent.lake.glob("received_events"))
    assert events.select("type", "raw_type", "message_id").rows() == [("unsubscribed", "preferences", sent.message())]


def test_saving_what_was_shown_records_nothing(sent: World) -> None:
    url = sent.url(LinkTo.PREFERENCES, "p")
    assert request(url, Form(request(url)[1]).body())[0] == 200
    assert request(url, b"")[0] == 200
    assert sent.kept() == []


def test_one_button_withdraws_everything(sent: World) -> None:
    url, contact = sent.url(LinkTo.PREFERENCES, "p"), sent.messages["contact_id"][0]
    request(url, Form(request(url)[1]).body(nothing="1"))
    assert sent.take_in().preferences == 1
    assert sent.consent(Channel.EMAIL)[contact] == "withdrawn"


def test_consent_that_is_given_again_lifts_the_unsubscription_and_no_complaint(sent: World) -> None:
    url, contact = sent.url(LinkTo.PREFERENCES, "p"), sent.messages["contact_id"][0]
    address = f"{contact}@x.example"
    request(sent.links()[4], b"List-Unsubscribe=One-Click")
    sent.take_in()
    with reading(sent.engine) as connection:
        assert active_suppressions(connection, Channel.EMAIL).rows() == [(address, "unsubscribed")]
    form = Form(request(url)[1])
    assert form.boxes["email:marketing"] is False
    form.boxes["email:marketing"] = True
    request(url, form.body())
    assert sent.take_in().preferences == 1
    assert sent.consent(Channel.EMAIL)[contact] == "granted"
    with writing(sent.engine) as connection:
        assert active_suppressions(connection, Channel.EMAIL).rows() == []
        suppress(connection, [Suppression(Channel.EMAIL, address, SuppressionReason.COMPLAINED, "e1", AS_OF)])
    request(url, Form(request(url)[1]).body(nothing="1"))
    sent.take_in()
    request(url, form.body())
    assert sent.take_in().preferences == 1
    with reading(sent.engine) as connection:
        assert active_suppressions(connection, Channel.EMAIL).rows() == [(address, "complained")]


@pytest.mark.parametrize(
    "body", [b"was=email", b"was=pigeon:marketing:granted", b"was=email:A%20B:granted", b"\xff", b"was=email:m:maybe"]
)
def test_a_form_that_is_not_ours_is_refused(sent: World, body: bytes) -> None:
    assert request(sent.url(LinkTo.PREFERENCES, "p"), body)[0] == 404
    assert sent.kept() == []


def test_preferences_without_database_can_still_be_saved(settings: Settings, server: ReceiverServer) -> None:
    secret = settings.link_secret
    token = message_token(secret, LinkTo.PREFERENCES, "spring--20260302t090000z", "a" * 24)
    assert request(f"{server.url}/p/{token}")[0] == 404
    assert request(f"{server.url}/p/{token}", b"was=email:marketing:granted")[0] == 200


# ---- view in browser ----------------------------------------------------------------------------------------------


def test_the_page_is_the_message_to_the_letter(sent: World) -> None:
    for number in (0, 1):
        status, page, headers = request(sent.links(number)[3])
        assert (status, page) == (200, sent.texts[sent.message(number)]["html"])
        policy = headers["content-security-policy"]
        assert "sandbox allow-popups" in policy
        assert "script" not in policy
        assert "img-src http: https: data:" in policy
        assert headers["x-robots-tag"] == "noindex"
        assert headers["content-type"] == "text/html; charset=utf-8"
    assert sent.kept() == []


def test_unknown_and_erased_messages_are_a_polite_404(sent: World) -> None:
    secret, urls = sent.server.settings.link_secret, [sent.url(LinkTo.VIEW, "v"), sent.url(LinkTo.PREFERENCES, "p")]
    unknown = message_token(secret, LinkTo.VIEW, "spring--20200302t090000z", sent.message())
    erased = sent.messages.with_columns(message_id=pl.lit("e" * 24), contact_id=pl.lit("f" * 24)).head(1)
    sent.lake.write(erased, "messages", sent.run_id)
    for url in (*urls, f"{sent.server.url}/v/{unknown}"):
        status, page, _ = request(url)
        assert status == 404
        assert "no longer kept here" in page


def test_a_token_opens_only_what_it_was_made_for(sent: World) -> None:
    tokens = {link: sent.url(link, "x").rpartition("/")[2] for link in LinkTo}
    for path, own in (("u", LinkTo.UNSUBSCRIBE), ("p", LinkTo.PREFERENCES), ("v", LinkTo.VIEW)):
        for link, token in tokens.items():
            assert request(f"{sent.server.url}/{path}/{token}")[0] == (200 if link is own else 404)
    assert sent.kept() == []


def test_metrics_have_a_label_for_each_kind_of_link_and_no_tokens(sent: World) -> None:
    for url in sent.links():
        request(url)
    text = request(f"{sent.server.url}/metrics")[1]
    for route, status, count in (("/r", 302, 2), ("/p", 200, 1), ("/v", 200, 1), ("/u", 200, 1)):
        assert f'requests_total{{route="{route}",status="{status}"}} {count}' in text
    assert sent.message() not in text


# ---- names --------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))


def test_hostile_names_add_nothing_to_pages_and_follow_their_own_links(
    settings: Settings, engine: sa.Engine, server: ReceiverServer, shared_data: Path
) -> None:
    names = orjson.loads((shared_data / "contacts" / "blns.json").read_bytes())
    sent = world(settings, engine, server, ["Ann", *names])
    harmless = Elements(request(sent.url(LinkTo.VIEW, "v"))[1]).found
    box = Elements(request(sent.url(LinkTo.PREFERENCES, "p", 1))[1]).found
    for number in range(1, len(names) + 1, 5):
        status, page, _ = request(sent.url(LinkTo.VIEW, "v", number))
        assert status == 200
        assert Elements(page).found == harmless, number
        assert page == sent.texts[sent.message(number)]["html"]
        assert Elements(request(sent.url(LinkTo.PREFERENCES, "p", number))[1]).found == box
        location = request(sent.links(number)[0])[2]["location"]
        assert location.startswith("https://shop.example/Spring;v=1?a=1&b=")
        assert len(location.splitlines()) == 1
