"""The sandboxed Jinja2 environments that templates are written for, and how they treat missing and null values.

A template is data of the user's team: it can read the context and nothing else, and has no source of
chance (`random`, `lipsum`), so that rendering twice gives the same text. Three rules differ from plain Jinja2:

- A name or field that does not exist is an error (`StrictUndefined`).
- A null that reaches the output is an error too, also through a filter or `~`: "Hello None" never goes out.
  `{{ contact.x | default('there', true) }}` or `{% if contact.x %}` handles nulls.
- `contact.items` is the contact's field `items` and never a method of a dictionary: a contact is data.

A subject and a WhatsApp variable are one line: there, control characters (line breaks above all) in a contact's
field are one space, already when the template reads it, so that `| trim | default('there', true)` sees an empty name.
"""

import re
from collections.abc import Callable
from typing import Any, NoReturn, cast

from jinja2 import StrictUndefined, TemplateRuntimeError, UndefinedError
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from campaign_pipeline.messages.clicks import click_target
from campaign_pipeline.messages.formats import DEFAULT_LOCALE, format_filters

LINKS = ("unsubscribe_url", "preferences_url", "view_url")
CONTEXT = ("contact", "segments", "tables", "coupons", "campaign", "variant", *LINKS)
"""The names that a template can use; those of RECORDS are mappings, the others are strings."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """`text` with each run of control characters and line breaks as one space."""
    return _CONTROL.sub(" ", text)


class NullVariable(TemplateRuntimeError):
    """A null was printed, compared or calculated with. The message names fields only, never their values."""


class Record(dict[str, Any]):
    """A contact's fields by name, for a template. `of`: what the template calls it."""

    of = "contact"


class Segments(Record):
    """Whether the contact is in a segment, by its name."""

    of = "segments"


class Tables(Record):
    """The contact's items of a contact table, by its name."""

    of = "tables"


class Coupons(Record):
    """The code that was handed out to the contact, by the name of its pool."""

    of = "coupons"


RECORDS: dict[str, type[Record]] = {kind.of: kind for kind in (Record, Segments, Tables, Coupons)}


class Null:
    """A null of a contact in a template: false, equal to none, and an error in any other use."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Null)

    def __hash__(self) -> int:
        return hash(None)

    def _fail(self, *_: object) -> NoReturn:
        raise NullVariable(f"{self.name} is null")

    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = _fail
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _fail
    __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = _fail

    def __str__(self) -> str:
        self._fail()


class Missing(StrictUndefined):
    """Plain StrictUndefined, except that its message never quotes a key that may have come from data."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return f"{self._undefined_name} is undefined"
        return "an item that does not exist is used"


def _printable(value: Any) -> Any:
    """What an expression prints is checked here, last of all."""
    if value is None:
        raise NullVariable("a null is printed")
    if isinstance(value, Record):
        raise TemplateRuntimeError(f"a whole {value.of} is printed, not one of its fields")
    if callable(value) and not isinstance(value, Undefined):
        raise TemplateRuntimeError("a function is printed, not what it returns")
    return value


def _media(*_: object) -> NoReturn:
    raise TemplateRuntimeError("media(...) becomes an address when the template is applied: campaigns apply DIR")


class MessageEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox with the rules above; there is no loader: a template is complete in itself.

    `locale`: the language in which the filters of formats.py write numbers and dates.
    """

    def __init__(self, *, locale: str = DEFAULT_LOCALE, autoescape: bool = False, single_line: bool = False) -> None:
        super().__init__(autoescape=autoescape, undefined=Missing, finalize=_printable, cache_size=0)
        del self.globals["lipsum"], self.filters["random"]
        cast("dict[str, Any]", self.globals)["media"] = _media
        added: dict[str, Any] = {**format_filters(locale), "click_target": click_target}
        self.filters.update(added)
        self.tests["none"] = _is_none
        self._single_line = single_line

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Record):
            if attribute not in obj:
                return self.undefined(f"{obj.of}.{attribute} is undefined", obj, attribute)
            return self._field(obj, attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Record):
            if argument not in obj:  # the key may be a value of another field: it is not named
                return self.undefined(f"{obj.of}[...] is undefined", obj)
            return self._field(obj, argument)
        return super().getitem(obj, argument)

    def _field(self, record: Record, name: str) -> Any:
        value = record[name]
        if value is None:
            return Null(f"{record.of}.{name}")
        return one_line(value) if self._single_line and isinstance(value, str) else value


def _is_none(value: object) -> bool:
    return value is None or isinstance(value, Null)


def html_environment(locale: str = DEFAULT_LOCALE) -> MessageEnvironment:
    """For the HTML part: what is printed is escaped."""
    return MessageEnvironment(locale=locale, autoescape=True)


def text_environment(locale: str = DEFAULT_LOCALE) -> MessageEnvironment:
    """For the text part and SMS."""
    return MessageEnvironment(locale=locale)


def single_line_environment(locale: str = DEFAULT_LOCALE) -> MessageEnvironment:
    """For a subject and for WhatsApp variables."""
    return MessageEnvironment(locale=locale, single_line=True)


def safe_problem(error: Exception) -> str:
    """What went wrong, without data: of errors that may quote a contact's values only the type is told."""
    if isinstance(error, NullVariable | UndefinedError) or type(error) is TemplateRuntimeError:
        return str(error)
    return f"fails with {type(error).__name__}"


def template_line(error: Exception) -> int:
    """The template line (from 1) on which rendering failed; 0 if no template was being rendered."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            to_template_line: Callable[[int], int] = template.get_corresponding_lineno
            line = to_template_line(trace.tb_lineno)
        trace = trace.tb_next
    return line
