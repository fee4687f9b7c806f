"""What is made of an author's HTML: MJML, inlined styles, a preheader, a text part; the Jinja2 in it stays as it is."""

from pathlib import Path

import pytest
from jinja2 import Environment, TemplateSyntaxError
from lxml import html as lxml_html

from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.messages.authoring.html import compile_mjml, inline_css, put_preheader
from campaign_pipeline.messages.authoring.placeholders import hide
from campaign_pipeline.messages.authoring.plain_text import plain_text
from campaign_pipeline.messages.authoring.reading import read_template_file

JINJA = Environment()
PAGE = """<html><head><style>.a { color: red } @media print { .a { color: blue } }</style></head>
<body><table>{% for item in contact.items %}<tr><td class="a" title="{{ item.name }}">{{ item.name | e }}</td></tr>
{%- endfor %}</table><a class="{% if x %}a{% endif %}" href="https://example.com/?a={{ x | urlencode }}&amp;b=2">Go</a>
</body></html>"""


def test_styles_are_inlined_and_jinja_stays_where_it_was() -> None:
    inlined = inline_css(JINJA, PAGE)
    assert '{% for item in contact.items %}<tbody><tr><td class="a"' in inlined
    assert 'style="color: red;"' in inlined
    assert "@media print" in inlined
    assert 'href="https://example.com/?a={{ x | urlencode }}&amp;b=2"' in inlined
    assert hide(JINJA, inlined, as_comments=False).tags == hide(JINJA, PAGE, as_comments=False).tags


def test_html_without_a_style_sheet_is_left_to_the_letter() -> None:
    assert inline_css(JINJA, "<p class=a>{{ x }}<br></p>") == "<p class=a>{{ x }}<br></p>"


def test_the_preheader_is_the_first_thing_in_the_body() -> None:
    page = put_preheader('<html><body class="x"><p>Hi</p></body></html>', "{{ contact.first_name }}, look")
    first = lxml_html.document_fromstring(page).find("body")[0]
    assert (first.tag, first.get("aria-hidden")) == ("div", "true")
    assert first.text.startswith("{{ contact.first_name }}, look")


def test_mjml_becomes_html_with_its_jinja() -> None:
    mjml = (
        "<mjml><mj-body><mj-section><mj-column><mj-text>{% if a < 3 %}Hi{% endif %} {{ x }}</mj-text>"
        '<mj-button href="{{ url }}">Go</mj-button></mj-column></mj-section></mj-body></mjml>'
    )
    compiled = compile_mjml(JINJA, mjml)
    assert "{% if a < 3 %}Hi{% endif %} {{ x }}</div>" in compiled
    assert '<a href="{{ url }}"' in compiled


@pytest.mark.parametrize(
    ("mjml", "problem"),
    [
        ("<mjml><mj-body></mjml>", "is not MJML"),
        ("<mjml><mj-body width='{{ x }}'></mj-body></mjml>", "where MJML drops it"),
    ],
)
def test_mjml_that_would_lose_something_is_refused(mjml: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        compile_mjml(JINJA, mjml)


def test_a_text_part_reads_like_the_page() -> None:
    page = """<html><head><title>no</title></head><body><div style="display:none">no</div><h1>Hello {{ x }}</h1>
    <table><tr><td>One</td><td>Two</td></tr>{% if y %}<tr><td>Three</td></tr>{% endif %}</table>
    <p>Read <a href="https://example.com/{{ z }}">more</a> at <a href="https://example.com">https://example.com</a></p>
    <img src="a.png" alt="A picture"><ul><li>first</li><li>second</li></ul></body></html>"""
    assert plain_text(JINJA, page).splitlines() == [
        "Hello {{ x }}",
        "",
        "One",
        "Two",
        "{% if y %}",
        "Three",
        "{% endif %}",
        "",
        "Read more: https://example.com/{{ z }} at https://example.com",
        "",
        "A picture",
        "* first",
        "* second",
    ]


def test_a_text_part_that_would_lose_a_statement_is_refused() -> None:
    with pytest.raises(InvalidInput, match="if x %}"):
        plain_text(JINJA, '<p {% if x %}class="a"{% endif %}>a</p>')


def test_every_real_template_that_jinja_reads_keeps_its_jinja(shared_data: Path) -> None:
    """Postmark's, SendGrid's and Mailgun's own tags that Jinja2 cannot read are their syntax, not ours."""
    read = 0
    for file in sorted((shared_data / "templates").rglob("*.html")):
        source = file.read_text()
        try:
            JINJA.parse(source)
        except TemplateSyntaxError:
            continue
        read += 1
        tags = sorted(hide(JINJA, source, as_comments=False).tags)
        assert sorted(hide(JINJA, inline_css(JINJA, source), as_comments=False).tags) == tags
        assert len(plain_text(JINJA, source)) > 250
    assert read == 30


def test_a_template_of_layout_mjml_and_languages(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "template: one\nchannel: email\nsubject: Hi\nhtml_file: one.html\npreheader: Look\nlocales:\n"
        "  de: {subject: Hallo, mjml_file: eins.mjml, text: Text}\n"
    )
    (tmp_path / "layout.html").write_text("<body>{% block body %}{% endblock %}{% include 'foot.html' %}</body>")
    (tmp_path / "foot.html").write_text("<a href='{{ unsubscribe_url }}'>Unsubscribe</a>")
    (tmp_path / "one.html").write_text("{% extends 'layout.html' %}{% block body %}<p>Hello</p>{% endblock %}")
    (tmp_path / "eins.mjml").write_text("<mjml><mj-body><mj-raw>Hallo {{ contact.x }}</mj-raw></mj-body></mjml>")
    template = read_template_file(tmp_path / "one.yaml")
    assert template.languages == ("en", "de")
    assert template.parts()["text"] == "Hello\n\nUnsubscribe: {{ unsubscribe_url }}\n"
    assert "Look&#847;" in template.parts()["html"]
    assert "Hallo {{ contact.x }}" in template.parts("de")["html"]
    assert template.parts("de")["text"] == "Text"


def test_a_mistake_in_a_partial_is_named_by_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("template: one\nchannel: email\nsubject: Hi\nhtml_file: one.html\n")
    (tmp_path / "one.html").write_text("<p>{% include 'foot.html' %}</p>")
    (tmp_path / "foot.html").write_text("\n{{ x | nofilter }}")
    with pytest.raises(InvalidDefinition) as caught:
        read_template_file(tmp_path / "one.yaml")
    assert (caught.value.file.name, caught.value.line) == ("foot.html", 2)
    assert "nofilter" in caught.value.problem
