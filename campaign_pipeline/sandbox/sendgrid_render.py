"""SendGrid's substitutions: plain text replacement, per personalization, in subject and contents."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from operator import itemgetter
from typing import Any

SEPARATOR = "\0"  # between subject and contents, where they are one text

Values = Mapping[str, str]
Fill = Callable[[Values], str]


class Renderer:
    """The subject and contents of one request, ready to be filled in for each of its personalizations.

    SendGrid replaces one tag after the other, so a value that contains a later tag is replaced again. All
    tags at once gives the same and is many times faster, provided that no two of them overlap in the text and
    that what comes out contains nothing of what they all begin with. Otherwise it is done SendGrid's way.
    """

    def __init__(self, subject: str, contents: Iterable[str]) -> None:
        self._contents = tuple(contents)
        self._subject = subject
        self._whole = SEPARATOR.join((subject, *self._contents))
        self._fills: dict[tuple[str, ...], tuple[str, Fill] | None] = {}

    def parts(self, personalization: Mapping[str, Any]) -> list[str]:
        """[subject, content, ...] as this recipient gets them."""
        values: Values = personalization.get("substitutions") or {}
        subject: str = personalization.get("subject") or self._subject
        return [one_after_the_other(part, values) for part in (subject, *self._contents)]

    def whole(self, personalization: Mapping[str, Any]) -> str:
        """The parts joined by SEPARATOR: what is hashed, and the path that must be fast."""
        if personalization.get("subject"):
            return SEPARATOR.join(self.parts(personalization))
        values: Values | None = personalization.get("substitutions")
        if not values:
            return self._whole
        tags = tuple(values)
        if tags not in self._fills:
            self._fills[tags] = _fill(self._whole, tags)
        known = self._fills[tags]
        if known:
            mark, fill = known
            text = fill(values)
            if mark not in text:
                return text
        return SEPARATOR.join(self.parts(personalization))


def one_after_the_other(text: str, values: Values) -> str:
    for tag, value in values.items():
        text = text.replace(tag, value)
    return text


def _common_beginning(tags: tuple[str, ...]) -> str:
    """What all tags begin with: it decides on the first and the last of them in order."""
    first, last = min(tags), max(tags)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def _fill(text: str, tags: tuple[str, ...]) -> tuple[str, Fill] | None:
    """A function from values to `text` with all tags replaced at once, and the mark that must not be in what it
    gives; None for tags that cannot be told apart.

    A tag that comes about while others are replaced consists of values, constants and at most `overlap`
    letters of a tag beside it, so it shows what its kind begins with, less these letters: the mark.
    """
    if any(one in other for one, other in permutations(tags, 2)):
        return None
    beginnings = {tag[:end] for tag in tags for end in range(1, len(tag))}
    overlap = max((len(tag) - n for tag in tags for n in range(1, len(tag)) if tag[n:] in beginnings), default=0)
    beginning = _common_beginning(tags)
    mark = beginning[overlap:]
    if not mark or min(map(len, tags)) < len(beginning) + overlap:
        return None
    any_tag = "|".join(map(re.escape, tags))
    pieces = re.split(f"({any_tag})", text)  # constant, tag, constant, ..., constant
    places = pieces[1::2]
    if sum(1 for _ in re.finditer(f"(?={any_tag})", text)) != len(places):
        return None  # tags overlap in the text
    if not places:
        return mark, lambda _: text
    pick = itemgetter(*places, places[0])  # at least two, so that it always gives a tuple

    def fill(values: Values) -> str:
        pieces[1::2] = pick(values)[:-1]
        return "".join(pieces)

    return mark, fill
