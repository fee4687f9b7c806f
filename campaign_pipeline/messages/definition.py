"""The template definition: what is said in one channel, part by part.

    template: spring_plain          name
    channel: email                  email | sms | whatsapp
    description: ...                optional
    subject, html, text             e-mail: all three are required
    body                            SMS
    content_sid, variables          WhatsApp: an approved content template, and its variables "1", "2", ...

`html_file`, `text_file` and `body_file` name a file beside the YAML instead of giving the text in it. Its
content becomes part of the definition, so that a stored version holds everything that it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from jinja2 import TemplateSyntaxError, nodes
from pydantic import Field, field_validator, model_validator

from campaign_pipeline.core.definitions import Definition, Location, read_definition, read_yaml
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.environment import (
    MessageEnvironment,
    html_environment,
    single_line_environment,
    text_environment,
)
from campaign_pipeline.messages.variables import UnknownVariable, unknown, uses

PARTS: dict[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject", "html", "text"),
    Channel.SMS: ("body",),
    Channel.WHATSAPP: ("content_sid", "variables"),
}
"""The parts of each channel; all are required, except that a WhatsApp template may have no variables."""

_FROM_FILE = ("html", "text", "body")
_NOT_SELF_CONTAINED = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


class _Parts(Definition):
    template: str
    channel: Channel
    description: str = ""
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    body: str | None = None
    content_sid: str | None = Field(None, pattern=r"^HX[0-9a-fA-F]{32}$")
    variables: dict[str, str] = Field(default_factory=dict)

    @field_validator("template")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        try:
            return check_name("template", name)
        except InvalidInput as error:
            raise ValueError(error.message) from None

    @field_validator("variables", mode="before")
    @classmethod
    def _text_keys(cls, variables: object) -> object:
        """YAML reads an unquoted key 1 as a number: it means the same."""
        if not isinstance(variables, dict):
            return variables
        pairs = cast("dict[object, object]", variables).items()
        return {str(key) if isinstance(key, int) else key: value for key, value in pairs}

    @field_validator("variables")
    @classmethod
    def _numbered(cls, variables: dict[str, str]) -> dict[str, str]:
        wanted = [str(number) for number in range(1, len(variables) + 1)]
        if sorted(variables) != sorted(wanted):
            raise ValueError('the keys are "1", "2", ... without a gap, as in the content template')
        return {key: variables[key] for key in wanted}


class Template(_Parts):
    """A whole template, as it is stored: with its texts, and valid."""

    @model_validator(mode="after")
    def _whole(self) -> "Template":
        given = {
            name for name in ("subject", "html", "text", "body", "content_sid", "variables") if getattr(self, name)
        }
        for field, problem in _part_problems(self.channel, given):
            raise ValueError(f"{field} {problem}")
        return self

    def parts(self) -> dict[str, str]:
        """Jinja2 source by part, in the order of the skeleton: subject, html, text | body | var:1, var:2, ..."""
        if self.channel is Channel.WHATSAPP:
            return {f"var:{key}": source for key, source in self.variables.items()}
        return {name: getattr(self, name) for name in PARTS[self.channel]}


class _TemplateFile(_Parts):
    """The YAML file: a text, or the name of the file that it is in."""

    html_file: str | None = None
    text_file: str | None = None
    body_file: str | None = None


def environment_of(part: str) -> MessageEnvironment:
    """The environment that `part` (subject, html, text, body, var:1, ...) is written for."""
    if is_single_line(part):
        return single_line_environment()
    return html_environment() if part == "html" else text_environment()


def is_single_line(part: str) -> bool:
    return part == "subject" or part.startswith("var:")


def read_template_file(path: Path) -> Template:
    """The template in the YAML file `path` and the body files beside it.

    InvalidDefinition names file, line and field; for a mistake in a body file, that file and its line.
    """
    source = read_definition(path, _TemplateFile)
    _, lines = read_yaml(path)
    fields = source.model_dump(exclude_none=True)
    files: dict[str, Path] = {}
    for name in _FROM_FILE:
        file = fields.pop(f"{name}_file", None)
        if file is None:
            continue
        if name in fields:
            raise InvalidDefinition(
                path, lines[(f"{name}_file",)], f"{name}_file", f"{name} is given as well: keep one"
            )
        files[name] = _beside(path, lines[(f"{name}_file",)], f"{name}_file", file)
        fields[name] = _read_text(files[name])
    given = {name for name, value in fields.items() if value and name not in ("template", "channel", "description")}
    for field, problem in _part_problems(source.channel, given):
        raise InvalidDefinition(path, _line(lines, field), field, problem)
    template = Template.model_validate(fields)
    for part, text in template.parts().items():
        for line, problem in _source_problems(part, text):
            if part in files:
                raise InvalidDefinition(files[part], line, "", problem)
            field = part.replace("var:", "variables.")
            where = f"line {line} of the text: " if "\n" in text.rstrip("\n") else ""
            raise InvalidDefinition(path, _line(lines, field), field, where + problem)
    return template


def unknown_variables(template: Template, known_fields: set[str] | None) -> list[UnknownVariable]:
    """What the template uses that does not exist: names, and fields of `contact` (None: any field exists)."""
    return [
        problem
        for part, source in template.parts().items()
        for problem in unknown(part, uses(environment_of(part), source), known_fields)
    ]


def _part_problems(channel: Channel, given: set[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(given - set(PARTS[channel])):
        yield name, f"is not a part of {channel}, which has {', '.join(PARTS[channel])}"
    for name in PARTS[channel]:
        if name not in given and name != "variables":
            yield name, f"is missing: {channel} needs it"


def _source_problems(part: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, problem) of what is wrong with a Jinja2 source, whatever the contacts are."""
    environment = environment_of(part)
    try:
        environment.from_string(source)
    except TemplateSyntaxError as error:
        yield error.lineno, error.message or "is not a Jinja2 template"
        return
    for node in environment.parse(source).find_all(_NOT_SELF_CONTAINED):
        yield node.lineno, f"{type(node).__name__.lower()} is not available: a template is complete in itself"
    for problem in unknown(part, uses(environment, source), None):
        yield problem.line, str(problem).partition(": ")[2]


def _beside(path: Path, line: int, field: str, name: str) -> Path:
    """The file `name` in the folder of `path`, and nowhere else."""
    file = path.parent / name
    if Path(name).name != name or not file.is_file():
        raise InvalidDefinition(path, line, field, f"there is no file {name!r} beside this one")
    return file


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidDefinition(file, 0, "", "is not UTF-8 text") from None


def _line(lines: dict[Location, int], field: str) -> int:
    """The line of a field, or of what it would stand in."""
    place: tuple[Any, ...] = tuple(field.split("."))
    return lines.get(place) or lines.get((f"{field}_file",)) or lines.get(place[:1], 1)
