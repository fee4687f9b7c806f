"""Links: exactly those to the web change, and nothing else of the page."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from jinja2 import Environment, TemplateSyntaxError
from lxml import html as lxml_html

from campaign_pipeline.messages.authoring.links import rewrite_links, with_parameters

JINJA = Environment()
UTM = {"utm_source": "mail", "utm_campaign": "spring & summer"}
SPRING = "utm_campaign=spring%20%26%20summer"


def tagged(source: str) -> str:
    return rewrite_links(JINJA, source, lambda address: with_parameters(address, UTM))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://a.example", "https://a.example?utm_source=mail&amp;{S}"),
        ("http://A.example/x?b=1&amp;c=2#d", "http://A.example/x?b=1&amp;c=2&amp;utm_source=mail&amp;{S}#d"),
        ("https://a.example/?utm_source=own", "https://a.example/?utm_source=own&amp;{S}"),
        (
            "https://a.example/{{ x | urlencode }}?q={{ y }}",
            "https://a.example/{{ x | urlencode }}?q={{ y }}&amp;utm_source=mail&amp;{S}",
        ),
    ],
)
def test_a_link_to_the_web_gets_the_parameters(before: str, after: str) -> None:
    page = '<p><a class="x" href="HERE" title="a > b">go</a></p>'
    after = after.replace("{S}", SPRING)
    assert tagged(page.replace("HERE", before)) == page.replace("HERE", after)
    assert tagged(f"<area href={before.replace(' ', '')}>") == f'<area href="{after.replace(" ", "")}">'


@pytest.mark.parametrize(
    "page",
    [
        '<a href="mailto:a@b.example?subject=http://x">x</a>',
        '<a href="tel:+431">x</a><a href="#top">x</a><a href="/x">x</a><a name="y">x</a>',
        '<a href="{{ unsubscribe_url }}">x</a><a href="{% if x %}https://a.example{% endif %}">x</a>',
        '<!-- <a href="https://a.example">x</a> --><style>a[href="https://a.example"] { }</style>',
        '<img src="https://a.example/a.png"><link href="https://a.example/a.css"><p>https://a.example</p>',
        '<a title="<a href=\'https://a.example\'>">x</a> <a data-href="https://a.example">x</a>',
    ],
)
def test_everything_else_stays_to_the_letter(page: str) -> None:
    assert tagged(page) == page


def test_in_real_templates_exactly_the_web_links_change(shared_data: Path) -> None:
    """Compared as a parser sees them: the same elements, texts and attributes, but for these links."""
    changed = 0
    for file in sorted((shared_data / "templates").rglob("*.html")):
        source = file.read_text()
        try:
            JINJA.parse(source)
        except TemplateSyntaxError:
            continue
        before, after = (list(lxml_html.document_fromstring(text).iter()) for text in (source, tagged(source)))
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert (one.tag, one.text, one.tail, one.keys()) == (other.tag, other.text, other.tail, other.keys())
            for name, value in one.items():
                is_link = one.tag in ("a", "area") and name == "href" and value.strip().lower().startswith("http")
                if not is_link:
                    assert other.get(name) == value
                else:
                    changed += 1
                    new = urlsplit(other.get(name))
                    assert dict(parse_qsl(new.query)).items() >= UTM.items()
                    assert new._replace(query="") == urlsplit(value.strip())._replace(query="")
    assert changed == 75
