"""What a template may do, and that a null or a missing field never goes out."""

from typing import Any

import pytest
from jinja2 import TemplateRuntimeError, UndefinedError
from jinja2.exceptions import SecurityError

from campaign_pipeline.messages.environment import (
    NullVariable,
    Record,
    html_environment,
    safe_problem,
    single_line_environment,
    template_line,
    text_environment,
)
from campaign_pipeline.messages.skeleton import cut


def render(source: str, html: bool = False, **contact: Any) -> str:
    environment = html_environment() if html else text_environment()
    return environment.from_string(source).render(contact=Record(contact))


@pytest.mark.parametrize(
    "source",
    [
        "Hello {{ contact.name }}",
        "Hello {{ contact['name'] }}",
        "Hello {{ contact.name | title }}",
        "Hello {{ contact.name | upper | trim }}",
        "{{ 'Hello ' ~ contact.name }}",
        "{{ 'Hello %s' | format(contact.name) }}",
        "{{ 'Hello {}'.format(contact.name) }}",
        "{{ [contact.name] | join }}",
        "{{ contact.name | default('there') }}",
        "{{ contact.name | string }}",
        "{{ contact.name | e }}",
        "{% if contact.name > 5 %}x{% endif %}",
        "{{ contact.name + 1 }}",
        "{% set x = contact.name %}{{ x }}",
    ],
)
@pytest.mark.parametrize("html", [True, False])
def test_a_null_never_goes_out(source: str, html: bool) -> None:
    with pytest.raises(NullVariable, match=r"^contact\.name is null$"):
        render(source, html, name=None)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ contact.name | default('there', true) }}", "there"),
        ("{{ contact.name or 'there' }}", "there"),
        ("{% if contact.name %}{{ contact.name }}{% else %}there{% endif %}", "there"),
        ("{{ 'there' if contact.name is none }}", "there"),
        ("{{ contact.name == none }}", "True"),
        ("{{ contact.name is defined }}", "True"),
        ("{{ contact.name is string }}", "False"),
        ("{{ contact.name in ['a'] }}", "False"),
        ("{{ contact.name | int }}", "0"),
    ],
)
def test_a_null_that_is_handled_is_fine(source: str, text: str) -> None:
    assert render(source, name=None) == text


@pytest.mark.parametrize("source", ["{{ none }}", "{{ [none] | first }}", "{{ contact.inner.x }}"])
def test_other_nulls_are_errors_too(source: str) -> None:
    with pytest.raises(NullVariable, match="a null is printed"):
        render(source, inner={"x": None})


def test_a_missing_field_is_an_error_that_names_it() -> None:
    with pytest.raises(UndefinedError, match=r"^contact\.nmae is undefined$"):
        render("{{ contact.nmae }}", name="x")
    with pytest.raises(UndefinedError, match=r"^contcat is undefined$"):
        render("{{ contcat.name }}", name="x")


def test_a_missing_key_that_comes_from_data_is_not_named() -> None:
    for source in ("{{ contact[contact.name] }}", "{{ {'a': 1}[contact.name] }}"):
        with pytest.raises(UndefinedError) as caught:
            render(source, name="Secret")
        assert "Secret" not in safe_problem(caught.value)


@pytest.mark.parametrize("field", ["items", "keys", "values", "get", "update", "pop", "copy"])
def test_a_field_named_like_a_method_is_the_field(field: str) -> None:
    assert render(f"{{{{ contact.{field} }}}}", **{field: "data"}) == "data"
    with pytest.raises(UndefinedError):
        render(f"{{{{ contact.{field} }}}}", other="x")


def test_nested_data_prefers_its_keys_and_keeps_its_methods() -> None:
    assert render("{{ contact.order.items }}", order={"items": "two"}) == "two"
    assert render("{{ contact.order.values() | list | length }}", order={"a": 1}) == "1"
    with pytest.raises(TemplateRuntimeError, match="a function is printed"):
        render("{{ contact.order.items }}", order={"a": 1})


def test_a_whole_contact_cannot_be_printed() -> None:
    with pytest.raises(TemplateRuntimeError, match="a whole contact is printed"):
        render("{{ contact }}", name="x")


def test_html_is_escaped_and_text_is_not() -> None:
    assert render("{{ contact.name }}", html=True, name="<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"
    assert render("{{ contact.name }}", name="<b>&\"'") == "<b>&\"'"


@pytest.mark.parametrize("source", ["{{ contact.name.__class__.__mro__ }}", "{{ ''.__class__ }}"])
def test_the_sandbox_holds(source: str) -> None:
    with pytest.raises(SecurityError):
        render(source, name="x")


@pytest.mark.parametrize("source", ["{{ contact.update({'a': 1}) }}", "{{ contact.n.append(1) }}"])
def test_a_template_cannot_change_its_data(source: str) -> None:
    with pytest.raises((SecurityError, UndefinedError)):
        render(source, n=[])


def test_in_a_single_line_a_field_has_no_control_characters_when_the_template_reads_it() -> None:
    template = single_line_environment().from_string("{{ contact.name | trim | default('there', true) }}")
    assert template.render(contact=Record(name="\x01\r\n\x85")) == "there"
    assert template.render(contact=Record(name="Bo\r\nB")) == "Bo B"


def test_there_is_no_source_of_chance() -> None:
    environment = text_environment()
    assert "lipsum" not in environment.globals
    assert "random" not in environment.filters


def test_the_line_of_an_error_is_the_templates() -> None:
    with pytest.raises(UndefinedError) as caught:
        cut(text_environment(), "one\ntwo\n{% if true %}\n{{ contact.x }}{% endif %}", "t").fragments(
            {"contact": Record()}
        )
    assert template_line(caught.value) == 4
    assert template_line(ValueError("elsewhere")) == 0


def test_an_error_that_may_quote_data_is_told_by_its_type_only() -> None:
    with pytest.raises(TypeError) as caught:
        render("{{ contact.name + 1 }}", name="Secret")
    assert safe_problem(caught.value) == "fails with TypeError"
