"""Links of a run: parameters of web analytics, and our redirect. Whoever follows one comes to where its author said."""

import re
from contextlib import suppress
from html import unescape
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from campaign_pipeline.campaigns.definition import Campaign, Utm
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.clicks import Click, ClickTargets, click_url, is_web, read_click_token
from campaign_pipeline.messages.definition import Template, Texts
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.skeletons import assemble
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.tracking import AS_WRITTEN, LinkRules, link_rules, with_utm
from tests.unit.messages.test_render import AT

RUN = "spring--20260302t090000z"
SECRET = SecretStr("a-key")
BASE = "https://news.example.com"
HREF = re.compile(r'href="([^"]*)"')


def rendered(html: str, rules: LinkRules, *people: dict[str, Any]) -> Rendered:
    template = Template(template="hello", channel=Channel.EMAIL, subject="Hi", html=html, text="https://a.example")
    rows = [
        {
            "contact_id": f"{n:024x}",
            "status": "planned",
            "variant": "emoji",
            "address": f"c{n}@x.example",
            "send_at": AT,
            "locale": "en",
        }
        | {"contact": {"shop": "vienna", "q": "a", **person}}
        for n, person in enumerate(people or ({},))
    ]
    return render_run(
        pl.DataFrame(rows),
        {"emoji": StoredTemplate(template, 1, "0" * 24)},
        run_id=RUN,
        campaign="spring",
        channel=Channel.EMAIL,
        public_url=BASE,
        link_secret=SECRET,
        batch_size=100,
        links=rules,
    ).whole()


def targets(result: Rendered) -> list[list[str]]:
    """For each message, where its links lead: ours read as the receiver reads them."""
    found: list[list[str]] = []
    for message, parts in assemble(result.skeletons, result.messages):
        found.append([])
        for href in map(unescape, HREF.findall(parts["html"])):
            if not href.startswith(f"{BASE}/r/"):
                found[-1].append(href)
                continue
            click = read_click_token(SECRET, href.removeprefix(f"{BASE}/r/"))
            assert (click.run_id, click.message_id) == (RUN, message)
            found[-1].append(click.url)
    return found


def campaign(**fields: Any) -> Campaign:
    given = {"campaign": "spring", "channel": "email", "segment": "s"}
    return Campaign.model_validate(given | {"variants": [{"name": "a", "weight": 1, "template": "t"}]} | fields)


def test_true_means_channel_campaign_and_variant() -> None:
    utm = campaign(utm=True).utm
    assert utm is not None
    assert utm.parameters(Channel.EMAIL, "spring", "emoji") == {
        "utm_source": "email",
        "utm_medium": "email",
        "utm_campaign": "spring",
        "utm_content": "emoji",
    }


def test_what_is_given_counts_and_what_is_empty_is_left_out() -> None:
    utm = Utm(source="newsletter", campaign="spring & summer", content="", term="shoes")
    assert utm.parameters(Channel.EMAIL, "spring", "emoji") == {
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "spring & summer",
        "utm_term": "shoes",
    }


def test_links_of_a_run_carry_the_variants_parameters_as_part_of_the_skeleton() -> None:
    result = rendered('<a href="https://shop.example/x?a=1">x</a>', link_rules(campaign(utm={"source": "n"})))
    assert targets(result) == [
        ["https://shop.example/x?a=1&utm_source=n&utm_medium=email&utm_campaign=spring&utm_content=emoji"]
    ]
    assert result.messages["fragments"].to_list() == [[]]
    assert next(assemble(result.skeletons, result.messages))[1]["text"] == "https://a.example"


def test_campaigns_without_these_fields_are_stored_as_before() -> None:
    assert not {"utm", "track_clicks"} & set(campaign().model_dump(mode="json"))
    assert not {"utm", "track_clicks"} & set(campaign(utm=False, track_clicks="provider").model_dump(mode="json"))
    both = campaign(utm={"source": "n"}, track_clicks="own")
    assert Campaign.model_validate(both.model_dump(mode="json")) == both


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_links_of_texts_are_not_changed_so_that_asking_for_it_is_an_error(channel: str) -> None:
    for fields, problem in (({"utm": True}, "utm is for"), ({"track_clicks": "own"}, "track_clicks: own is for")):
        with pytest.raises(ValidationError, match=problem):
            campaign(channel=channel, **fields)
    assert campaign(channel=channel, track_clicks="none").track_clicks == "none"


def test_every_language_gets_them() -> None:
    texts = {"subject": "Hi", "html": '<a href="https://a.example">x</a>', "text": "x"}
    template = Template(template="t", channel=Channel.EMAIL, locales={"de": Texts(**texts)}, **texts)
    changed = with_utm(template, LinkRules(Utm()), Channel.EMAIL, "spring", "a")
    for language in changed.languages:
        assert "utm_campaign=spring" in (changed.texts(language).html or "")
    assert with_utm(template, AS_WRITTEN, Channel.EMAIL, "spring", "a") is template


def test_every_web_link_leads_through_the_redirect_to_its_target() -> None:
    html = (
        '<a href="https://shop.example/x?a=1&amp;b=2#top">1</a> <a href="mailto:a@b.example">2</a>'
        '<a href="https://shop.example/{{ contact.shop }}?q={{ contact.q | urlencode }}&amp;r=1">3</a>'
        "<a href=\"https://shop.example/{% if contact.q == 'a' %}A{% else %}B{% endif %}\">4</a>"
        '<a href="{{ unsubscribe_url }}">5</a>'
    )
    people = [{}, {"q": "ö & \"<'", "shop": "graz"}, {"shop": '"><script>'}]
    plain = targets(rendered(html, AS_WRITTEN, *people))
    assert plain[1][2] == "https://shop.example/graz?q=%C3%B6%20%26%20%22%3C%27&r=1"
    for rules in (LinkRules(redirect=True), LinkRules(Utm(), redirect=True)):
        result = rendered(html, rules, *people)
        without = LinkRules(rules.utm)
        assert targets(result) == targets(rendered(html, without, *people))
        for _, parts in assemble(result.skeletons, result.messages):
            assert parts["html"].count(f"{BASE}/r/") == 3


def test_links_in_loops_and_macros_are_tracked_too() -> None:
    html = (
        "{% macro link(to) %}<a href=\"https://shop.example/{{ to }}\">x</a>{% endmacro %}{{ link('m') }}"
        '{% for item in ["a", "b"] %}<a href="https://shop.example/{{ item }}">x</a>{% endfor %}'
    )
    expected = [[f"https://shop.example/{item}" for item in "mab"]]
    assert targets(rendered(html, LinkRules(redirect=True))) == expected


def test_a_link_that_begins_an_if_and_does_not_end_it_stays_as_it_is() -> None:
    html = '<a href="https://a.example/{% if contact.q %}x">1</a>{% else %}y">2</a>{% endif %}'
    assert targets(rendered(html, LinkRules(redirect=True))) == [["https://a.example/x"]]


def test_a_constant_link_costs_a_message_56_bytes() -> None:
    result = rendered('<a href="https://shop.example/a/very/long/path">x</a>' * 2, LinkRules(redirect=True))
    assert [len(fragment) for fragment in result.messages["fragments"][0]] == [56, 56]


def test_templates_cannot_read_the_key() -> None:
    for attempt in ("_click_targets._secret", "_click_targets.secret", "_click_targets['_secret']"):
        with pytest.raises(InvalidInput, match="cannot be rendered"):
            rendered(f"<p>{{{{ {attempt} }}}}</p>", LinkRules(redirect=True))
    result = rendered("<p>{{ _click_targets }}.</p>", AS_WRITTEN)
    assert next(assemble(result.skeletons, result.messages))[1]["html"] == "<p>.</p>"


MESSAGE = message_id(RUN, "0" * 24, "email")
CLICK = Click(RUN, MESSAGE, "https://shop.example/Spring?a=1&b=ü#x")
TOKEN = click_url(BASE, SECRET, CLICK).removeprefix(f"{BASE}/r/")


def test_a_token_says_run_message_and_target_in_lower_case() -> None:
    assert read_click_token(SECRET, TOKEN) == CLICK
    assert TOKEN.lower() == TOKEN
    assert set(TOKEN) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_changed_token_names_nothing_else(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    with suppress(InvalidInput):
        assert read_click_token(SECRET, changed) == CLICK  # base32 has bits to spare at its end, and two cases


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_click_token(SECRET, text)


def test_parts_of_different_links_do_not_fit_together() -> None:
    other_run = click_url(BASE, SECRET, Click("other--20260302t090000z", MESSAGE, CLICK.url)).removeprefix(f"{BASE}/r/")
    other_target = click_url(BASE, SECRET, CLICK._replace(url="https://evil.example")).removeprefix(f"{BASE}/r/")
    message, run, signature, target = TOKEN.split(".")
    _, run2, signature2, _ = other_run.split(".")
    _, _, _, target3 = other_target.split(".")
    for mixed in ((message, run2, signature2, target), (message, run, signature, target3), (message, run, "", target)):
        with pytest.raises(InvalidInput):
            read_click_token(SECRET, ".".join(mixed))
    with pytest.raises(InvalidInput):
        read_click_token(SecretStr("b-key"), TOKEN)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "http:///x", "ftp://a.b", ""]
)
def test_only_addresses_of_the_web_are_followed_even_if_signed(url: str) -> None:
    assert not is_web(url)
    token = f"{TOKEN.split('.')[0]}.{ClickTargets(SECRET, RUN).sign(url)}"
    with pytest.raises(InvalidInput):
        read_click_token(SECRET, token)
