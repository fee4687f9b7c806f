"""Real e-mail templates of four providers, as a team would take them over: all of them render, both ways alike.

They are written for Mustache and Handlebars. `translate` says in Jinja2 what their tags say,
with the recipient's fields as `contact.<name>`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from lxml import html as lxml_html
from pydantic import SecretStr

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.html import inline_css
from campaign_pipeline.messages.authoring.plain_text import plain_text
from campaign_pipeline.messages.chunks import Job, render_chunk
from campaign_pipeline.messages.definition import Template, environment_of, source_problems
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.run_context import RunContext
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.trial import Trial, try_out
from campaign_pipeline.messages.vectorised.explain import explain

TAG = re.compile(r"\{\{\{?\s*(.*?)\s*\}?\}\}")
HTML, TEXTS = 38, 11
RUN = RunContext("real--20260302t090000z", "real", Channel.EMAIL, "http://127.0.0.1", SecretStr("k"))


@dataclass
class Translated:
    """`source` in Jinja2; `data`: a contact with a value for every name that it reads."""

    source: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class _Scope:
    """What an open block is: its end tag; what names and `.` mean within it; where its values are kept."""

    end: str
    names: str
    this: str
    data: dict[str, Any]


def translate(source: str) -> Translated:
    data: dict[str, Any] = {}
    scopes = [_Scope("", "contact", "contact", data)]

    def path(name: str, value: Any) -> str:
        """`name` as Jinja2 reads it in the innermost scope; `value` is kept for it."""
        scope = scopes[-1]
        if name in (".", "this"):
            return scope.this
        *above, last = name.removeprefix("this.").split(".")
        into = scope.data
        for each in above:
            into = into.setdefault(each, {})
        into.setdefault(last, value)
        return ".".join((scope.names, *above, last))

    def tag(found: re.Match[str]) -> str:
        said = found[1]
        if said.startswith("#each"):
            items: list[dict[str, Any]] = [{}]
            name = said.removeprefix("#each").strip()
            over = path(name, items)
            if name == ".":
                items = scopes[-1].data["."]
            item = f"item{len(scopes)}"
            scopes.append(_Scope("endfor", item, item, items[0]))
            return f"{{% for {item} in {over} %}}"
        if said.startswith("#if") or said.startswith("else if"):
            test = path(said.split()[-1], True)
            if said.startswith("else"):
                return f"{{% elif {test} %}}"
            above = scopes[-1]
            scopes.append(_Scope("endif", above.names, above.this, above.data))
            return f"{{% if {test} %}}"
        if said.startswith("#"):  # Mustache: a list, and its items by {{#each .}}
            items = [{}]
            over = path(said[1:].strip(), items)
            scopes.append(_Scope("endif", scopes[-1].names, over, {".": items}))
            return f"{{% if {over} %}}"
        if said.startswith("/"):
            return f"{{% {scopes.pop().end} %}}"
        text = path(said, f"{said} value")
        return f"{{{{ {text} | safe }}}}" if found[0].startswith("{{{") else f"{{{{ {text} }}}}"

    return Translated(TAG.sub(tag, source), data)


def files(shared_data: Path, ending: str) -> list[Path]:
    return sorted((shared_data / "templates").rglob(f"*{ending}"))


def templates(shared_data: Path) -> Iterator[tuple[Path, Template, dict[str, Any]]]:
    """Every HTML file as a template, with its styles inlined and its text part made, and a contact for it."""
    environment = environment_of("html")
    for file in files(shared_data, ".html"):
        translated = translate(file.read_text(encoding="utf-8"))
        html = inline_css(environment, translated.source)
        text = plain_text(environment, html)
        template = Template(template="real", channel=Channel.EMAIL, subject="Real", html=html, text=text)
        yield file, template, translated.data


def test_the_handlebars_of_every_template_can_be_said_in_jinja2(shared_data: Path) -> None:
    assert (len(files(shared_data, ".html")), len(files(shared_data, ".txt"))) == (HTML, TEXTS)
    for file in (*files(shared_data, ".html"), *files(shared_data, ".txt")):
        part = "html" if file.suffix == ".html" else "text"
        assert list(source_problems(part, translate(file.read_text(encoding="utf-8")).source)) == [], file.name


def test_each_of_them_renders_and_says_every_value(shared_data: Path) -> None:
    of_all = list(templates(shared_data))
    assert len(of_all) == HTML
    for file, template, data in of_all:
        parts = shown(template, data).parts
        assert "{{" not in parts["html"], file.name
        if "{% elif" not in template.parts()["html"]:
            assert {value for value in values(data) if value not in parts["html"]} == set(), file.name


def values(data: Any) -> Iterator[str]:
    """The texts in `data`."""
    for value in data.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from values(value)
        elif isinstance(value, list):
            yield from values(value[0])


def shown(template: Template, data: dict[str, Any]) -> Trial:
    return try_out(template, "en", {"contact": Record(data)})


def test_their_text_parts_can_be_read(shared_data: Path) -> None:
    for file, template, data in templates(shared_data):
        parts = shown(template, data).parts
        text, page = parts["text"], lxml_html.document_fromstring(parts["html"])
        assert not re.search(r"<[a-z/!][^>]*>|\{\{|\{%|&[a-z]+;", text), file.name
        links = {link.get("href") for link in page.iter("a") if link.get("href") and link.text_content().strip()}
        assert {link for link in links if link not in text} == set(), file.name


def test_the_text_files_render(shared_data: Path) -> None:
    for file in files(shared_data, ".txt"):
        translated = translate(file.read_text(encoding="utf-8"))
        template = Template(template="real", channel=Channel.SMS, body=translated.source)
        assert "{{" not in shown(template, translated.data).parts["body"]


def test_many_contacts_at_once_get_the_same(shared_data: Path) -> None:
    for file, template, data in templates(shared_data):
        people = [data, {**data, **{name: f"<{name}>" for name, value in data.items() if isinstance(value, str)}}]
        chunk = pl.DataFrame(
            {
                "contact_id": ["a" * 24, "b" * 24],
                "variant": "a",
                "locale": "en",
                "address": "a@example.com",
                "send_at": datetime(2026, 3, 2, tzinfo=UTC),
                "contact": people if data else [{"first_name": "Ann"}, {"first_name": "Bob"}],
            }
        )
        rendered = render_chunk(Job(RUN, {"a": StoredTemplate(template, 1, "0" * 24)}), chunk)
        assert rendered.failures == [], file.name
        expected = [list(shown(template, each).fragments) for each in people]
        assert rendered.messages["fragments"].to_list() == expected, file.name


def test_how_their_slots_are_rendered(shared_data: Path) -> None:
    """What is neither constant nor fallback is rendered for all contacts at once, or once a distinct value."""
    how: Counter[str] = Counter()
    for _, template, data in templates(shared_data):
        fields = dict(pl.DataFrame([data]).schema) if data else None
        how.update(slot.how for slot in explain(template, fields))
    assert how.total() == 208
    assert how["fallback"] == 2, how
