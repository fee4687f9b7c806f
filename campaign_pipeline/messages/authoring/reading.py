"""Template files, as an author writes them, into the definition that is stored.

    template: spring_plain          name
    channel: email                  email | sms | whatsapp | webhook
    description: ...                optional
    locale: en                      the language of its texts; en if not given
    inputs:                         fields of the contact that it uses
      first_name: {default: there, example: Ann}
    subject, html, text             e-mail; the text is made from the HTML where there is none
    preheader                       e-mail: the line that mail readers show beside the subject
    inline_css: false               leave the style sheets of the HTML where they are
    body                            SMS; WhatsApp: free text; webhook: any text, such as JSON
    max_parts: 1                    SMS: how many parts a message may have
    plain_characters: true          SMS: curly quotes, dashes and the like are sent as plain characters
    content_sid, variables, preview WhatsApp: an approved content template, its variables "1", "2", ..., its text
    locales:                        the same parts in other languages
      de: {subject: ..., html_file: spring.de.html}

`html_file`, `mjml_file`, `text_file` and `body_file` name a file beside the YAML instead of giving the text in it. What
they hold, with the layouts and partials that it refers to, becomes part of the definition, so that a stored version has
everything that it says.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from campaign_pipeline.core.definitions import Location, read_definition, read_yaml
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.flatten import FlattenError, flatten
from campaign_pipeline.messages.authoring.html import compile_mjml, inline_css, put_preheader
from campaign_pipeline.messages.authoring.plain_text import plain_text
from campaign_pipeline.messages.definition import (
    Head,
    Template,
    Texts,
    environment_of,
    known_locale,
    part_problems,
    source_problems,
)

_FILES = {"html_file": "html", "mjml_file": "html", "text_file": "text", "body_file": "body"}


class _FileTexts(Texts):
    """The parts of one language in the YAML file: a text, or the name of the file that it is in."""

    preheader: str | None = None
    inline_css: bool = True
    html_file: str | None = None
    mjml_file: str | None = None
    text_file: str | None = None
    body_file: str | None = None


class _TemplateFile(_FileTexts, Head):
    locales: dict[str, _FileTexts] = Field(default_factory=dict)


def read_template_file(path: Path) -> Template:
    """The template in the YAML file `path` and the files beside it.

    InvalidDefinition names file, line and field; for a mistake in a body file, that file and its line.
    """
    source = read_definition(path, _TemplateFile)
    _, lines = read_yaml(path)
    fields: dict[str, Any] = source.model_dump(include=set(Head.model_fields), exclude_defaults=True)
    fields |= _Reader(path, lines, (), source.channel).texts(source)
    locales: dict[str, Any] = {}
    for tag, texts in source.locales.items():
        try:
            known_locale(tag)
        except ValueError as error:
            raise InvalidDefinition(path, lines.get(("locales", tag), 0), f"locales.{tag}", str(error)) from None
        locales[tag] = _Reader(path, lines, ("locales", tag), source.channel).texts(texts)
    try:
        return Template.model_validate(fields | {"locales": locales})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InvalidDefinition(path, 1, where, problem["msg"].removeprefix("Value error, ")) from None


class _Reader:
    """Reads the parts of one language, which stand at `at` in the file `path`."""

    def __init__(self, path: Path, lines: dict[Location, int], at: Location, channel: Channel) -> None:
        self.path, self.lines, self.at, self.channel = path, lines, at, channel

    def texts(self, source: _FileTexts) -> dict[str, Any]:
        """The fields of Texts, each complete in itself."""
        fields: dict[str, Any] = source.model_dump(include=set(Texts.model_fields), exclude_none=True)
        files: dict[str, Path] = {}
        for field, part in _FILES.items():
            name: str | None = getattr(source, field)
            if name is None:
                continue
            if part in fields:
                also = next(
                    (other for other, of in _FILES.items() if of == part and part in files and other != field), part
                )
                raise self._wrong(field, f"{also if part in files else part} is given as well: keep one")
            files[part] = self._beside(field, name)
            fields[part] = _read_text(files[part])
        self._check_parts(source, {name for name in fields if fields[name]} & source_parts(fields))
        self._check_sources(fields, files)
        for part in ("subject", "html", "text", "body"):
            if fields.get(part):
                fields[part] = self._flat(part, fields[part], files.get(part))
        if self.channel is Channel.EMAIL:
            self._finish_email(source, fields)
        for part, text in self._sources(fields).items():  # again: with layouts and partials in it
            for _, problem in source_problems(part, text):
                raise self._wrong(part, f"with its layout and partials: {problem}")
        return fields

    def _finish_email(self, source: _FileTexts, fields: dict[str, Any]) -> None:
        environment = environment_of("html")
        try:
            if source.mjml_file is not None:
                fields["html"] = compile_mjml(environment, fields["html"])
            if not fields.get("text"):
                fields["text"] = plain_text(environment, fields["html"])
            if source.preheader:
                preheader = self._flat("preheader", source.preheader, None)
                for _, problem in source_problems("preheader", preheader):
                    raise self._wrong("preheader", problem)
                fields["html"] = put_preheader(fields["html"], preheader)
            if source.inline_css and source.mjml_file is None:
                fields["html"] = inline_css(environment, fields["html"])
        except InvalidInput as error:
            raise self._wrong("html", f"{error.message}. {error.hint}".strip()) from None

    def _check_parts(self, source: _FileTexts, given: set[str]) -> None:
        made = {"text"} if self.channel is Channel.EMAIL and "html" in given else set[str]()
        for field, problem in part_problems(self.channel, given | made):
            raise self._wrong(field, problem)
        if source.preheader is not None and self.channel is not Channel.EMAIL:
            raise self._wrong("preheader", "is not a part of " + self.channel)

    def _check_sources(self, fields: dict[str, Any], files: dict[str, Path]) -> None:
        """The texts as they were written: the lines are the author's."""
        for part, text in self._sources(fields).items():
            for line, problem in source_problems(part, text):
                if part in files:
                    raise InvalidDefinition(files[part], line, "", problem)
                where = f"line {line} of the text: " if "\n" in text.rstrip("\n") else ""
                raise self._wrong(part.replace("var:", "variables."), where + problem)

    def _sources(self, fields: dict[str, Any]) -> dict[str, str]:
        texts: dict[str, str] = {part: fields[part] for part in ("subject", "html", "text", "body") if fields.get(part)}
        return texts | {f"var:{key}": text for key, text in fields.get("variables", {}).items()}

    def _flat(self, part: str, text: str, file: Path | None) -> str:
        folder = self.path.parent
        try:
            return flatten(environment_of(part), (file or self.path).name, text, lambda name: _read_text(folder / name))
        except FlattenError as error:
            if file is None and error.file == self.path.name:
                raise self._wrong(part, error.problem) from None
            raise InvalidDefinition(folder / error.file, error.line, "", error.problem) from None

    def _beside(self, field: str, name: str) -> Path:
        """The file `name` in the folder of the definition, and nowhere else."""
        file = self.path.parent / name
        if Path(name).name != name or not file.is_file():
            raise self._wrong(field, f"there is no file {name!r} beside this one")
        return file

    def _wrong(self, field: str, problem: str) -> InvalidDefinition:
        place: tuple[Any, ...] = (*self.at, *field.split("."))
        line = self.lines.get(place) or self.lines.get((*place[:-1], f"{place[-1]}_file"))
        line = line or self.lines.get(place[: len(self.at) + 1]) or self.lines.get(self.at, 1)
        return InvalidDefinition(self.path, line, ".".join(str(part) for part in place), problem)


def source_parts(fields: dict[str, Any]) -> set[str]:
    """The names in `fields` that are parts of a message; `preview` is for people."""
    return set(fields) - {"preview"}


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidDefinition(file, 0, "", "is not UTF-8 text") from None
