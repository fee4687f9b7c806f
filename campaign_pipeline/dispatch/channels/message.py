"""Messages as they stand in the batch file: a column a field, and an object a message only for who asks for one."""

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

import polars as pl


class Message(NamedTuple):
    """One message: `fragments` fill the slots of all parts, in their order."""

    message_no: int
    message_id: str
    address: str
    fragments: Sequence[str]
    contact_id: str = ""
    parts: int = 1  # of an SMS: what it is counted and paid by


SCHEMA: dict[str, Any] = {
    "message_no": pl.Int32,
    "message_id": pl.String,
    "address": pl.String,
    "fragments": pl.List(pl.String),
    "contact_id": pl.String,
    "parts": pl.Int32,
}


class Messages(Sequence[Message]):
    """The rows of `frame`, columns SCHEMA among others. A thousand objects take longer to make than to send."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    @classmethod
    def of(cls, messages: Sequence[Message]) -> "Messages":
        """The same messages, in columns."""
        if isinstance(messages, Messages):
            return messages
        columns = list(zip(*messages, strict=True)) or [()] * len(SCHEMA)
        return cls(pl.DataFrame(dict(zip(SCHEMA, map(list[Any], columns), strict=True)), schema=SCHEMA))

    def only(self, message_nos: Collection[int]) -> "Messages":
        return Messages(self.frame.filter(pl.col("message_no").is_in(list(message_nos))))

    def column(self, field: str) -> list[Any]:
        return self.frame[field].to_list()

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> "Messages": ...
    def __getitem__(self, index: int | slice) -> "Message | Messages":
        return Messages(self.frame[index]) if isinstance(index, slice) else self._objects[index]

    def __iter__(self) -> Iterator[Message]:
        return iter(self._objects)

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def _objects(self) -> Sequence[Message]:
        return tuple(map(Message, *(self.column(field) for field in Message._fields)))
