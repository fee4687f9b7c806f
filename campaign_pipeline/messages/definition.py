"""The template definition as it is stored: complete in itself, and valid.

What an author writes, with layouts, MJML and files beside the YAML, becomes this in authoring/reading.py.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import cast

from jinja2 import TemplateSyntaxError
from pydantic import Field, ValidationInfo, field_validator, model_validator

from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.environment import (
    MessageEnvironment,
    html_environment,
    single_line_environment,
    text_environment,
)
from campaign_pipeline.messages.formats import DEFAULT_LOCALE, babel_locale
from campaign_pipeline.messages.variables import UnknownVariable, misused, unknown, uses

PARTS: dict[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject", "html", "text"),
    Channel.SMS: ("body",),
    Channel.WHATSAPP: ("content_sid", "variables", "body"),
    Channel.WEBHOOK: ("body",),
}
"""The parts of each channel. All are required, except on WhatsApp: a content template, which may have variables, or a
body, which is free text."""

Scalar = str | bool | int | float


class Input(Definition):
    """What a template expects of one field of the contact.

    `default` stands in for a null, before the template sees it. `example` is what previews show.
    """

    type: ValueType = ValueType.STRING
    default: Scalar | None = None
    example: Scalar | None = None
    description: str = ""

    @model_validator(mode="after")
    def _of_its_type(self) -> "Input":
        for name, value in (("default", self.default), ("example", self.example)):
            if value is not None and not _is_of(value, self.type):
                raise ValueError(f"{name} {value!r} is not of type {self.type}")
        return self


class Texts(Definition):
    """What is said, in one language."""

    subject: str | None = None
    html: str | None = None
    text: str | None = None
    body: str | None = None
    content_sid: str | None = Field(None, pattern=r"^HX[0-9a-fA-F]{32}$")
    variables: dict[str, str] = Field(default_factory=dict)
    preview: str | None = None
    """WhatsApp: the text of the approved content template, with {{1}}, {{2}} ..., for people to look at."""

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

    def given(self) -> set[str]:
        """The names of the parts that are not empty."""
        parts = {part for of_channel in PARTS.values() for part in of_channel}
        return {name for name in parts if getattr(self, name)}


class Head(Definition):
    """What a template says of itself. `locale`: the language of its texts, which is also how it writes numbers."""

    template: str
    channel: Channel
    description: str = ""
    locale: str = DEFAULT_LOCALE
    inputs: dict[str, Input] = Field(default_factory=dict)
    max_parts: int | None = Field(None, ge=1, le=10, description="SMS: the parts that a message may have.")
    plain_characters: bool = Field(False, description="SMS: typographic characters are sent as plain ones.")

    @field_validator("template")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        try:
            return check_name("template", name)
        except InvalidInput as error:
            raise ValueError(error.message) from None

    @field_validator("locale")
    @classmethod
    def _known_locale(cls, tag: str) -> str:
        return known_locale(tag)

    @field_validator("max_parts", "plain_characters")
    @classmethod
    def _of_sms(cls, value: int | bool | None, others: ValidationInfo) -> int | bool | None:
        if value and others.data.get("channel", Channel.SMS) is not Channel.SMS:
            raise ValueError("is for SMS only")
        return value


class Template(Texts, Head):
    """A whole template. `locales`: its texts in other languages, by BCP 47 tag; each has all parts."""

    locales: dict[str, Texts] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> "Template":
        for texts in (self, *self.locales.values()):
            for field, problem in part_problems(self.channel, texts.given()):
                raise ValueError(f"{field} {problem}")
        for tag in self.locales:
            known_locale(tag)
        if self.locale in self.locales:
            raise ValueError(f"locales.{self.locale} is the template's own language: give its texts once")
        return self

    @property
    def languages(self) -> tuple[str, ...]:
        """Every locale that there are texts in, the template's own first."""
        return (self.locale, *self.locales)

    def texts(self, locale: str | None = None) -> Texts:
        """The texts in one of `languages` (None: the template's own)."""
        return self if locale in (None, self.locale) else self.locales[locale]

    def parts(self, locale: str | None = None) -> dict[str, str]:
        """Jinja2 source by part, in the order of the skeleton: subject, html, text | body | var:1, var:2, ..."""
        texts = self.texts(locale)
        if self.channel is Channel.WHATSAPP and not texts.body:
            return {f"var:{key}": source for key, source in texts.variables.items()}
        return {name: getattr(texts, name) for name in PARTS[self.channel] if name not in ("content_sid", "variables")}

    @property
    def is_approved(self) -> bool:
        """WhatsApp: whether it is a content template in some language, not free text in all."""
        return any(self.texts(locale).content_sid for locale in self.languages)


def environment_of(part: str, locale: str = DEFAULT_LOCALE) -> MessageEnvironment:
    """The environment that `part` (subject, html, text, body, var:1, ...) is written for."""
    if is_single_line(part):
        return single_line_environment(locale)
    return html_environment(locale) if part == "html" else text_environment(locale)


def is_single_line(part: str) -> bool:
    return part == "subject" or part.startswith("var:")


def known_locale(tag: str) -> str:
    """`tag`; ValueError if it is not the tag of a language that we can write numbers and dates in."""
    babel_locale(tag)
    return tag


def unknown_variables(
    template: Template, known_fields: set[str] | None, others: Mapping[str, Collection[str]] | None = None
) -> list[UnknownVariable]:
    """What the template uses that does not exist: names, and fields of `contact` (None: any field exists).

    A field with a default in `inputs` need not exist. `others`: see variables.unknown.
    """
    if known_fields is not None:
        known_fields = known_fields | {name for name, each in template.inputs.items() if each.default is not None}
    return [
        problem
        for locale in template.languages
        for part, source in template.parts(locale).items()
        for problem in unknown(part, uses(environment_of(part), source), known_fields, others)
    ]


def part_problems(channel: Channel, given: set[str]) -> Iterator[tuple[str, str]]:
    """(part, problem) of the parts that are given: which do not belong to the channel, and which are missing."""
    for name in sorted(given - set(PARTS[channel])):
        yield name, f"is not a part of {channel}, which has {', '.join(PARTS[channel])}"
    if channel is Channel.WHATSAPP:
        yield from _whatsapp_problems(given)
        return
    for name in PARTS[channel]:
        if name not in given:
            yield name, f"is missing: {channel} needs it"


def _whatsapp_problems(given: set[str]) -> Iterator[tuple[str, str]]:
    if "body" not in given:
        if "content_sid" not in given:
            yield "content_sid", "is missing: whatsapp needs it, or a body for free text"
        return
    for name in sorted(given & {"content_sid", "variables"}):
        yield (
            name,
            "does not go with a body: free text goes out within 24 hours of the contact's message, or not at all",
        )


def source_problems(part: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, problem) of what is wrong with a Jinja2 source, whatever the contacts are."""
    environment = environment_of(part)
    try:
        environment.from_string(source)
    except TemplateSyntaxError as error:
        yield error.lineno, error.message or "is not a Jinja2 template"
        return
    for problem in unknown(part, uses(environment, source), None):
        yield problem.line, str(problem).partition(": ")[2]
    yield from misused(environment, source)


def _is_of(value: Scalar, kind: ValueType) -> bool:
    match kind:
        case ValueType.BOOLEAN:
            return isinstance(value, bool)
        case ValueType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case ValueType.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ValueType.DATE:
            return isinstance(value, str) and _is_date(value)
        case ValueType.STRING:
            return isinstance(value, str)


def _is_date(text: str) -> bool:
    for read in (date.fromisoformat, datetime.fromisoformat):
        with suppress(ValueError):
            read(text)
            return True
    return False
