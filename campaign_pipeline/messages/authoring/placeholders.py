"""Jinja2 in HTML, hidden from tools that know HTML only: each tag becomes a word or a comment, and comes back after."""

import re
import secrets
from dataclasses import dataclass

from jinja2 import Environment

_RAW = re.compile(r"<(style|script|title|textarea)\b[^>]*>(?!.*</\1)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Hidden:
    """`text`: the source with placeholders. `tags`: what they stand for, in order."""

    text: str
    tags: list[str]
    mark: str

    def reveal(self, text: str) -> str:
        """`text`, made from ours, with each placeholder as the tag that it stands for."""
        return self._pattern.sub(lambda found: self.tags[int(found[1] or found[2])], text)

    def order(self, text: str) -> list[int]:
        """The numbers of the placeholders in `text`, as they follow each other."""
        return [int(found[1] or found[2]) for found in self._pattern.finditer(text)]

    @property
    def statements(self) -> set[int]:
        """The numbers of those that are statements ({% ... %})."""
        return {number for number, tag in enumerate(self.tags) if tag.startswith("{%")}

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"<!--{self.mark}(\d+)z-->|{self.mark}(\d+)z")


def hide(environment: Environment, source: str, *, as_comments: bool) -> Hidden:
    """`source` with a placeholder for each Jinja2 tag.

    Expressions are words. With `as_comments`, statements are HTML comments where HTML allows those (not within a tag,
    a style sheet or a title), so that they may stand between the rows of a table.
    """
    mark = f"jinja{secrets.token_hex(4)}x"  # letters and digits: no tool quotes, splits or escapes it
    tags, text = list[str](), ""
    tokens = iter(environment.lex(source))
    for _, kind, value in tokens:
        if not kind.endswith("_begin"):
            text += value
            continue
        tag, end = value, kind.replace("_begin", "_end")
        for _, inner, more in tokens:
            tag += more
            if inner == end:
                break
        comment = as_comments and kind != "variable_begin" and _takes_comments(text)
        text += f"<!--{mark}{len(tags)}z-->" if comment else f"{mark}{len(tags)}z"
        tags.append(tag.rstrip())  # white space that a `-%}` takes away comes with it
    return Hidden(text, tags, mark)


def _takes_comments(before: str) -> bool:
    """Whether a comment may follow `before`: not within a tag, nor where HTML knows text only."""
    return before.rfind("<") <= before.rfind(">") and not _RAW.search(before)
