"""Which column of a file means what, written as YAML or as `field=column` pairs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from campaign_pipeline.contacts.values import ValueType, check_zone, slugs
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel

TEXT_FIELDS = ("first_name", "last_name")
CORE_FIELDS = frozenset(
    {"contact_id", "external_id", "email", "phone", *TEXT_FIELDS, "locale", "country", "timezone", "created_at"}
    | {f"{what}_{channel}" for what in ("consent", "reachable") for channel in Channel}
    | {"lists", "tags", "updated_at"}
)
"""The contact snapshot's own columns: no attribute can have their names."""

_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]*")
CONSENT_STATES = ("granted", "withdrawn")
"""What a consent mapping may say instead of a column: it holds for all rows."""

Columns = dict[str, str] | Literal["rest"]
"""{name: column}, or `rest`: every column that is mapped to nothing else, under its name as a slug."""


class ConsentMapping(Definition):
    """For each channel a column (yes/no words; empty: nothing was said), or `granted` / `withdrawn` for all rows."""

    email: str | None = None
    sms: str | None = None
    whatsapp: str | None = None
    webhook: str | None = None
    source: str = "import"
    purpose: str = "marketing"

    def channels(self) -> dict[str, str]:
        """{channel: column or state} of the channels that the file speaks of."""
        said = {channel.value: getattr(self, channel.value) for channel in Channel}
        return {channel: rule for channel, rule in said.items() if rule is not None}

    def columns(self) -> list[str]:
        return [rule for rule in self.channels().values() if rule not in CONSENT_STATES]


class ContactMapping(Definition):
    """Columns of a contact file. `key` says which field identifies the contact: `id` must be mapped, or name another.

    `types` of attributes are inferred over the whole column where they are not given; `formats` holds strptime formats
    of `created_at` and of attributes of type date; `time_zone` is that of times without an offset.
    """

    id: str | None = None
    key: Literal["id", "email", "phone"] = "id"
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    locale: str | None = None
    country: str | None = None
    timezone: str | None = None
    created_at: str | None = None
    attributes: Columns = Field(default_factory=dict)
    types: dict[str, ValueType] = Field(default_factory=dict)
    formats: dict[str, str] = Field(default_factory=dict)
    consent: ConsentMapping = ConsentMapping()
    time_zone: str = "UTC"

    @field_validator("attributes")
    @classmethod
    def _named_well(cls, value: Columns) -> Columns:
        return _check_names("attribute", value, CORE_FIELDS)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _check_zone(value)

    @model_validator(mode="after")
    def _has_its_key(self) -> "ContactMapping":
        if getattr(self, self.key) is None:
            raise ValueError(f"the key is {self.key!r}, but no column is mapped to it")
        return self

    def core_columns(self) -> dict[str, str]:
        """{field: column} of the contact's own fields that the file has."""
        fields = ("id", "email", "phone", *TEXT_FIELDS, "locale", "country", "timezone", "created_at")
        mapped = {field: getattr(self, field) for field in fields}
        return {field: column for field, column in mapped.items() if column is not None}

    def attribute_columns(self, columns: Sequence[str]) -> dict[str, str]:
        """{attribute: column} in a file with `columns`; InvalidInput if a mapped column is not there."""
        taken = [*self.core_columns().values(), *self.consent.columns()]
        chosen = _choose(self.attributes, columns, taken)
        clash = sorted(CORE_FIELDS & chosen.keys())
        if clash:
            raise InvalidInput(
                f"the column {chosen[clash[0]]!r} would be an attribute {clash[0]!r}, which every contact has already",
                f"Map it: {clash[0]}={chosen[clash[0]]}; or name the attributes instead of taking the rest.",
            )
        require_known("types", self.types, chosen)
        require_known("formats", self.formats, {*chosen, "created_at"})
        return chosen


class EventMapping(Definition):
    """Columns of a file of behaviour, one event a row: `event` is its name for all rows, `event_column` names a column.

    `contact` is the column with the contact's external id. With `id`, an event that is in the lake already, from
    whatever file, is not added again; without, each row is an event of its own.
    """

    contact: str
    event: str | None = None
    event_column: str | None = None
    at: str
    at_format: str | None = None
    time_zone: str = "UTC"
    id: str | None = None
    properties: Columns = Field(default_factory=dict)
    types: dict[str, ValueType] = Field(default_factory=dict)
    formats: dict[str, str] = Field(default_factory=dict)

    @field_validator("properties")
    @classmethod
    def _named_well(cls, value: Columns) -> Columns:
        return _check_names("property", value, frozenset())

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _check_zone(value)

    @model_validator(mode="after")
    def _has_one_name(self) -> "EventMapping":
        if (self.event is None) == (self.event_column is None):
            raise ValueError("give either event (one name for all rows) or event_column")
        return self

    def own_columns(self) -> list[str]:
        return [column for column in (self.contact, self.event_column, self.at, self.id) if column is not None]

    def property_columns(self, columns: Sequence[str]) -> dict[str, str]:
        """{property: column} in a file with `columns`; InvalidInput if a mapped column is not there."""
        if self.event in columns:
            raise InvalidInput(
                f"event {self.event!r} is also a column of the file",
                f"If the column holds the names, write event_column={self.event}.",
            )
        chosen = _choose(self.properties, columns, self.own_columns())
        require_known("types", self.types, chosen)
        require_known("formats", self.formats, chosen)
        return chosen


M = TypeVar("M", ContactMapping, EventMapping)


def mapping_from_pairs(pairs: Iterable[str], model: type[M]) -> M:
    """The mapping that `field=column` pairs describe; a dot goes deeper, as in `attributes.plan=Plan` or
    `consent.email=granted`; `attributes=rest` takes all other columns. InvalidInput names the pair or field."""
    data: dict[str, Any] = {}
    for pair in pairs:
        path, sign, column = pair.partition("=")
        if not sign or not path.strip() or not column.strip():
            raise InvalidInput(f"{pair!r} is not field=column", "Example: email=Mail Address")
        *parents, field = path.strip().split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise InvalidInput(f"{pair!r}: {parent} is given as one column already", "Use one of the two forms.")
        if field in place:
            raise InvalidInput(f"{pair!r}: {path.strip()} is given twice")
        place[field] = column.strip()
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "mapping"
        fields = ", ".join(model.model_fields)
        raise InvalidInput(f"{where}: {first['msg'].removeprefix('Value error, ')}", f"Fields: {fields}.") from None


def _choose(wanted: Columns, columns: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    named = [] if wanted == "rest" else list(wanted.values())
    for column in (*taken, *named):
        if column not in columns:
            raise InvalidInput(
                f"the file has no column {column!r}",
                f"It has: {', '.join(columns)}. If that is one name, give the right delimiter.",
            )
    if wanted == "rest":
        return slugs([column for column in columns if column not in taken])
    return dict(wanted)


def require_known(what: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise InvalidInput(
            f"{what}: {unknown[0]!r} is not mapped", f"Mapped are: {', '.join(sorted(known)) or 'none'}."
        )


def _check_names(kind: str, value: Columns, reserved: frozenset[str]) -> Columns:
    for name in () if value == "rest" else value:
        if not _ATTRIBUTE.fullmatch(name):
            raise ValueError(f"{kind} name {name!r} must be lower-case letters, digits and _, starting with a letter")
        if name in reserved:
            raise ValueError(f"{kind} name {name!r} is a field that every contact has")
    return value


def _check_zone(value: str) -> str:
    try:
        return check_zone(value)
    except InvalidInput as error:
        raise ValueError(error.message) from None
