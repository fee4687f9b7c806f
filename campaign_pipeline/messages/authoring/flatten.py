"""One self-contained source out of a template, the layout that it extends and the partials that it includes.

What is stored and sent depends on nothing else, so a layout that is changed later changes no stored version. A partial
is put in as if its text stood there; a block of a layout is replaced by the template's own, in which `{{ super() }}`
stands for the layout's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from jinja2 import Environment, TemplateSyntaxError

MAX_DEPTH = 20
"""Files that extend or include one another, one below the other."""

Read = Callable[[str], str]
"""The text of a file by its name; raises NotFound if there is none."""

Token = tuple[int, str, str]
"""(line, kind, text) of Jinja2's lexer; the texts of all tokens one after the other are the source."""

_SPACE = ("whitespace", "linestatement_begin", "linecomment_begin")
_SEPARATOR = "{##}"  # keeps the white space control (`{%-`) of one file away from the text of another


@dataclass
class _Block:
    name: str
    line: int
    parts: "list[_Part]" = field(default_factory=list["_Part"])


@dataclass(frozen=True)
class _Include:
    name: str
    line: int


@dataclass(frozen=True)
class _Super:
    line: int


_Part = str | _Block | _Include | _Super


@dataclass(frozen=True)
class _File:
    """A file taken apart: `parent` is the layout that it extends."""

    name: str
    parts: list[_Part]
    parent: str | None
    prefix: str = ""  # what a template that extends a layout sets outside of its blocks


_Blocks = Mapping[str, list[tuple[_File, _Block]]]
"""What the files say of each block, the youngest first."""


class FlattenError(Exception):
    """What is wrong with an `extends`, `include` or `block`: in which file and line."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}, line {line}: {problem}")
        self.file, self.line, self.problem = file, line, problem


def flatten(environment: Environment, name: str, source: str, read: Read) -> str:
    """`source` of the file `name` with everything that it extends and includes, read by `read`.

    A source without `extends`, `include` and `block` comes back to the letter. Raises FlattenError.
    """
    return _Flattener(environment, read).file(name, source, ())


@dataclass(frozen=True)
class _Flattener:
    environment: Environment
    read: Read

    def file(self, name: str, source: str, above: tuple[str, ...]) -> str:
        parsed = _parse(self.environment, name, source)
        if parsed.parent is None and all(isinstance(part, str) for part in parsed.parts):
            return source
        text = self._inherited(parsed, {}, above)
        return text + "\n" if text.endswith("\n") else text  # Jinja2 drops the last line's end, which each file lost

    def _inherited(self, parsed: _File, blocks: _Blocks, above: tuple[str, ...]) -> str:
        """The file as text; `blocks`: what its children say of each block, the youngest first."""
        if parsed.parent is None:
            return parsed.prefix + self._text(parsed, parsed.parts, blocks, (*above, parsed.name))
        layers = {block.name: [*blocks.get(block.name, []), (parsed, block)] for block in _blocks(parsed.parts)}
        parent = self._open(parsed, parsed.parent, 1, (*above, parsed.name))
        below = {**blocks, **layers}
        return parsed.prefix + self._inherited(parent, below, (*above, parsed.name))

    def _text(
        self,
        file: _File,
        parts: list[_Part],
        blocks: _Blocks,
        above: tuple[str, ...],
        older: list[tuple[_File, _Block]] | None = None,
    ) -> str:
        """`parts` of `file` as text. `older`: what `super()` means, if they are those of a block."""
        texts: list[str] = []
        for part in parts:
            match part:
                case str():
                    texts.append(part)
                case _Include():
                    included = self._open(file, part.name, part.line, above)
                    texts.append(self._inherited(included, {}, above))
                case _Block():
                    layers = blocks.get(part.name, [])
                    if not any(block is part for _, block in layers):  # in a layout's block the layout's own is last
                        layers = [*layers, (file, part)]
                    texts.append(self._block(layers, blocks, above))
                case _Super():
                    if not older:
                        raise FlattenError(file.name, part.line, "super() has no block of a layout behind it")
                    texts.append(self._block(older, blocks, above))
        return _joined(texts)

    def _block(
        self,
        layers: list[tuple[_File, _Block]],
        blocks: _Blocks,
        above: tuple[str, ...],
    ) -> str:
        (file, block), *older = layers
        return self._text(file, block.parts, blocks, above, older)

    def _open(self, by: _File, name: str, line: int, above: tuple[str, ...]) -> _File:
        if name in above:
            raise FlattenError(by.name, line, f"refers to itself: {' -> '.join((*above[above.index(name) :], name))}")
        if len(above) > MAX_DEPTH:
            raise FlattenError(by.name, line, f"more than {MAX_DEPTH} files, one below the other")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise FlattenError(by.name, line, f"{name!r} is outside of the folder of templates")
        try:
            source = self.read(name)
        except OSError:
            raise FlattenError(by.name, line, f"there is no file {name!r} among the templates") from None
        return _parse(self.environment, name, source)


def _parse(environment: Environment, name: str, source: str) -> _File:
    try:
        environment.compile(source)  # finds unknown filters too, which parsing does not
        return _Parser(name, list(environment.lex(source))).file()
    except TemplateSyntaxError as error:
        raise FlattenError(name, error.lineno, error.message or "is not a Jinja2 template") from None


@dataclass
class _Parser:
    """Sorts the tokens of one file into text, blocks and references to other files."""

    name: str
    tokens: list[Token]

    def file(self) -> _File:
        open_blocks: list[_Block] = []
        top = list[_Part]()
        parent: str | None = None
        kept = list[str]()
        for kind, words, text, line in self._pieces():
            parts = open_blocks[-1].parts if open_blocks else top
            word = words[0] if kind == "block" and words else ""
            if word == "extends":
                if parent is not None or open_blocks:
                    raise FlattenError(self.name, line, "extends stands once, and outside of blocks")
                parent = self._constant(words, line)
            elif word == "include":
                parts.append(
                    _Include(self._constant([each for each in words if each not in ("with", "context")], line), line)
                )
            elif word in ("import", "from"):
                raise FlattenError(self.name, line, f"{word} is not available: include a partial instead")
            elif word == "block":
                block = _Block(words[1], line)
                if any(block.name == each.name for each in (*_blocks(top), *open_blocks)):
                    raise FlattenError(self.name, line, f"block {block.name!r} is there twice")
                parts.append(block)
                open_blocks.append(block)
            elif word == "endblock":
                open_blocks.pop()
            elif kind == "variable" and words == ["super", "(", ")"]:
                parts.append(_Super(line))
            else:
                if kind == "variable" and "super" in words:
                    raise FlattenError(self.name, line, "super() stands alone: {{ super() }}")
                parts.append(text)
                if not open_blocks and word == "set" and "=" in words:
                    kept.append(text)
                elif not open_blocks and parent is not None and kind == "block":
                    raise FlattenError(self.name, line, f"{word}: a template that extends a layout says all in blocks")
        return _File(self.name, top, parent, "".join(kept) if parent is not None else "")

    def _constant(self, words: list[str], line: int) -> str:
        if len(words) != 2 or words[1][:1] not in ("'", '"'):
            raise FlattenError(self.name, line, f"{words[0]} takes one file name in quotes, and nothing else")
        return words[1][1:-1]

    def _pieces(self) -> Iterator[tuple[str, list[str], str, int]]:
        """(block | variable | text, its words without white space, its whole text, its line)."""
        tokens = iter(self.tokens)
        for line, kind, text in tokens:
            if kind in ("block_begin", "variable_begin"):
                words, whole, end = list[str](), text, kind.replace("begin", "end")
                for _, inner, value in tokens:
                    whole += value
                    if inner == end:
                        break
                    if inner not in _SPACE:
                        words.append(value)
                yield kind.removesuffix("_begin"), words, whole, line
            else:
                yield "text", [], text, line


def _blocks(parts: list[_Part]) -> Iterator[_Block]:
    """The blocks in `parts`, those within others too."""
    for part in parts:
        if isinstance(part, _Block):
            yield part
            yield from _blocks(part.parts)


def _joined(texts: list[str]) -> str:
    """The texts one after the other, kept apart where white space control would reach from one into the next."""
    whole = ""
    for text in texts:
        reaches_back = whole[-1:].isspace() and text.lstrip().startswith(("{%-", "{{-", "{#-"))
        reaches_on = text[:1].isspace() and whole.rstrip().endswith(("-%}", "-}}", "-#}"))
        whole += (_SEPARATOR if reaches_back or reaches_on else "") + text
    return whole
