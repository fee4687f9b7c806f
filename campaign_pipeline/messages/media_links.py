"""`media('hero.png')` in a template becomes the image's address."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from jinja2 import nodes

from campaign_pipeline.messages.definition import Template, Texts, environment_of
from campaign_pipeline.messages.variables import media_calls

Token = tuple[int, str, str]

_SPACE = "whitespace"


class UnknownMedium(Exception):
    """`media(...)` in `part`, line `line`: says what is wrong with it."""

    def __init__(self, part: str, line: int, problem: str) -> None:
        super().__init__(f"{part}, line {line}: {problem}")
        self.part, self.line, self.problem = part, line, problem


def with_media(template: Template, addresses: Mapping[str, str]) -> Template:
    """`template` with the address of each medium that it names. `addresses`: by name. Raises UnknownMedium."""
    own = _texts(template, addresses)
    locales = {tag: texts.model_copy(update=_texts(texts, addresses)) for tag, texts in template.locales.items()}
    return template.model_copy(update={**own, "locales": locales})


def _texts(texts: Texts, addresses: Mapping[str, str]) -> dict[str, object]:
    """The fields of `texts` that change."""
    parts = ("subject", "html", "text", "body")
    changed: dict[str, object] = {
        part: _linked(part, source, addresses) for part in parts if (source := getattr(texts, part))
    }
    variables = {key: _linked(f"var:{key}", source, addresses) for key, source in texts.variables.items()}
    return {**changed, "variables": variables}


def _linked(part: str, source: str, addresses: Mapping[str, str]) -> str:
    environment = environment_of(part)
    calls = list(media_calls(environment.parse(source)))
    if not calls:
        return source
    for call, name in calls:
        if name not in addresses:
            near = get_close_matches(name, addresses, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownMedium(part, call.lineno, f"there is no medium {name!r}{guess}")
    found = _replaced(list(environment.lex(source)), addresses.__getitem__)
    for name in environment.parse(found).find_all(nodes.Name):
        if name.name == "media":
            raise UnknownMedium(part, name.lineno, "write it as media('hero.png'), and nothing else in the brackets")
    return found + "\n" if source.endswith(("\n", "\r")) else found  # Jinja2 drops the end of the last line


def _replaced(tokens: list[Token], address: Callable[[str], str]) -> str:
    """The source, with the address for `{{ media('name') }}`, and as a text in quotes where that is a part of more."""
    texts: list[str] = []
    at = 0
    while at < len(tokens):
        _, kind, text = tokens[at]
        if kind == "variable_begin" and text == "{{" and (call := _call(tokens, _next(tokens, at + 1))):
            name, end = call
            end = _next(tokens, end)
            if tokens[end][1:] == ("variable_end", "}}"):
                texts.append(address(name))
                at = end + 1
                continue
        before = next((each[2] for each in reversed(tokens[:at]) if each[1] != _SPACE), "")
        if before != "." and (call := _call(tokens, at)):
            name, at = call
            texts.append(f"'{address(name)}'")
            continue
        texts.append(text)
        at += 1
    return "".join(texts)


def _call(tokens: list[Token], at: int) -> tuple[str, int] | None:
    """(the name, the position behind it) if `media('name')` stands at `at`."""
    words: list[str] = []
    while len(words) < 4 and at < len(tokens):
        words.append(tokens[at][2])
        at = _next(tokens, at + 1) if len(words) < 4 else at + 1
    match words:
        case ["media", "(", text, ")"] if text[:1] in ("'", '"'):
            return text[1:-1], at
        case _:
            return None


def _next(tokens: list[Token], at: int) -> int:
    """The position of the next token from `at` that is not white space."""
    while at < len(tokens) and tokens[at][1] == _SPACE:
        at += 1
    return at
