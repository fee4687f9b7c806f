"""Upper and lower case, the same in every database: `ignore_case: true`.

Databases differ in what they take for a letter, so the folding is theirs only by name: the letters that occur in the
value, with all their forms, are worked out here and bound as arguments of `translate`, one letter for one.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa


def fold(text: str) -> str:
    """Each letter in lower case; one whose lower case is several letters stays as it is."""
    return "".join(_lower(letter) for letter in text)


def folded(subject: sa.ColumnElement[Any], values: Iterable[str]) -> sa.ColumnElement[str]:
    """`subject` with the letters of `values` in lower case, to be compared with what `fold` makes of them."""
    forms = _forms()
    lower = sorted({letter for value in values for letter in fold(value)})
    pairs = [(form, letter) for letter in lower for form in forms.get(letter, ())]
    found, replaced = ("".join(letters) for letters in zip(*pairs, strict=True)) if pairs else ("", "")
    return sa.func.translate(subject, found, replaced) if pairs else subject


def _lower(letter: str) -> str:
    lower = letter.lower()
    return lower if len(lower) == 1 else letter


@cache
def _forms() -> dict[str, list[str]]:
    """By lower-case letter, the other letters that are folded to it (about 1,400 in all)."""
    forms: defaultdict[str, list[str]] = defaultdict(list)
    letters = (letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.lower() != letter)
    for letter in letters:
        if (lower := _lower(letter)) != letter:
            forms[lower].append(letter)
    return dict(forms)
