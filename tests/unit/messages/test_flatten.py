"""Layouts and partials put into one source: it renders as Jinja2 renders the files themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment

from campaign_pipeline.messages.authoring.flatten import FlattenError, Read, flatten

FILES = {
    "base.html": "<html>{% block head %}H{% endblock %}|{% block body %}base{% endblock %}"
    "{% include 'foot.html' %}</html>\n",
    "foot.html": "{%- if x %} foot {{ x }} {% endif -%}\n",
    "middle.html": "{% extends 'base.html' %}\n"
    "{% block body %}m[{{ super() }}]{% block inner %}I{% endblock %}{% endblock %}",
    "leaf.html": "{% extends 'middle.html' %}{% set a = 3 %}{% block inner %}leaf {{ super() }} {{ a }}{% endblock %}"
    "{% block head -%}   {{ super() }}+{% endblock %} text outside is not shown",
    "loop.html": "a {% for x in [1, 2] %} {% include 'foot.html' %} {% endfor %} b {% raw %}{% include %}{% endraw %}",
}


def flat(name: str, files: dict[str, str]) -> str:
    return flatten(Environment(), name, files[name], files_of(files))


def files_of(files: dict[str, str]) -> Read:
    def read(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(name)
        return files[name]

    return read


@pytest.mark.parametrize("name", FILES)
def test_files_put_into_one_render_as_the_files_do(name: str) -> None:
    wanted = Environment(loader=DictLoader(FILES)).get_template(name).render(x="X")
    assert Environment().from_string(flat(name, FILES)).render(x="X") == wanted


def test_a_source_of_its_own_comes_back_to_the_letter() -> None:
    source = "a {{- b }} {%- if c -%} \n d{# e #}{% endif +%}\n\n"
    assert flatten(Environment(), "a", source, files_of({})) == source


PIECES = ["a ", "\n", "  ", "{{ x }}", "{{- x }}", "{{ x -}}", "{% if x %}y{% endif %}", "{%- if x -%} y {%- endif -%}"]
PIECES += ["{# c #}", "{#- c -#}", "{% include 'part' %}", "{%- include 'part' -%}", "{% raw %}{{ {% endraw %}"]
SOURCE = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@given(base=SOURCE, before=SOURCE, block=SOURCE, own=SOURCE, part=SOURCE.filter(lambda text: "include" not in text))
def test_white_space_control_stays_within_its_file(base: str, before: str, block: str, own: str, part: str) -> None:
    files = {
        "base": f"{before}{{% block b %}}{block}{{% endblock %}}{base}",
        "child": f"{{% extends 'base' %}}{{% block b %}}{own}{{{{ super() }}}}{own}{{% endblock %}}",
        "part": part,
    }
    for name in ("base", "child"):
        wanted = Environment(loader=DictLoader(files)).get_template(name).render(x="X")
        assert Environment().from_string(flat(name, files)).render(x="X") == wanted


@pytest.mark.parametrize(
    ("files", "file", "line", "problem"),
    [
        ({"a": "x\n{% include 'b' %}"}, "a", 2, "there is no file 'b'"),
        ({"a": "{% include 'b' %}", "b": "\n\n{% include 'a' %}"}, "b", 3, "a -> b -> a"),
        ({"a": "{% extends 'a' %}"}, "a", 1, "refers to itself: a -> a"),
        ({"a": "{% include '../b' %}"}, "a", 1, "is outside of the folder"),
        ({"a": "{% include name %}"}, "a", 1, "include takes one file name in quotes"),
        ({"a": "{% include 'b' ignore missing %}"}, "a", 1, "include takes one file name in quotes"),
        ({"a": "{% import 'b' as b %}"}, "a", 1, "import is not available"),
        ({"a": "{% extends 'b' %}\n{% if x %}{% endif %}", "b": ""}, "a", 2, "says all in blocks"),
        ({"a": "{% block b %}{{ super() }}{% endblock %}"}, "a", 1, "no block of a layout behind it"),
        ({"a": "{% block b %}{{ super() | upper }}{% endblock %}"}, "a", 1, "super() stands alone"),
        ({"a": "{% include 'b' %}", "b": "\n{% if %}"}, "b", 2, "Expected an expression"),
    ],
)
def test_what_cannot_be_put_in_is_named_by_file_and_line(
    files: dict[str, str], file: str, line: int, problem: str
) -> None:
    with pytest.raises(FlattenError) as caught:
        flat("a", files)
    assert (caught.value.file, caught.value.line) == (file, line)
    assert problem in caught.value.problem
