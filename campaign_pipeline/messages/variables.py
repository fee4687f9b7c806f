"""Which variables a template uses, and which of them do not exist."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from jinja2 import Environment, meta, nodes

from campaign_pipeline.messages.environment import CONTEXT, RECORDS

MEDIA_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")


@dataclass(frozen=True)
class Use:
    """One place where a part reads `name`: `contact.<field>`, `segments.<name>` ..., or a name of the context."""

    name: str
    line: int


@dataclass(frozen=True)
class UnknownVariable:
    part: str
    line: int
    name: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        guess = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        return f"{self.part}, line {self.line}: {self.name} does not exist{guess}"


def uses(environment: Environment, source: str) -> list[Use]:
    """Every variable that `source` reads from its context, in order of lines, each name once a line."""
    tree = environment.parse(source)
    undeclared = meta.find_undeclared_variables(tree) - set(environment.globals)
    found = {Use(name.name, name.lineno) for name in tree.find_all(nodes.Name) if name.name in undeclared}
    found |= {Use(f"{node.name}.{field}", line) for node, field, line in _fields(tree) if node.name in undeclared}
    return sorted(found, key=lambda use: (use.line, use.name))


def reads_whole(environment: Environment, source: str, record: str) -> bool:
    """Whether `source` uses a record otherwise than by the names of its fields, so that it may read any of them."""
    tree = environment.parse(source)
    by_field = {id(name) for name, _, _ in _fields(tree)}
    return any(name.name == record and id(name) not in by_field for name in tree.find_all(nodes.Name))


def _fields(tree: nodes.Template) -> Iterator[tuple[nodes.Name, str, int]]:
    """(the name of a record, the field of it that is read, line)."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case (
                nodes.Getattr(node=nodes.Name(name=root) as name, attr=str(field))
                | nodes.Getitem(node=nodes.Name(name=root) as name, arg=nodes.Const(value=str(field)))
            ) if root in RECORDS:
                yield name, field, node.lineno
            case _:
                pass


def misused(environment: Environment, source: str) -> Iterator[tuple[int, str]]:
    """(line, problem) where it cannot be told before rendering which segment, table, pool or medium is meant."""
    tree = environment.parse(source)
    named = {id(name) for name, _, _ in _fields(tree)} | {id(name) for name, _ in media_calls(tree)}
    undeclared = meta.find_undeclared_variables(tree)  # this may change the tree: 'a' ~ 'b' becomes 'ab'
    if not any(node.name == "media" and node.ctx != "load" for node in tree.find_all(nodes.Name)):
        undeclared |= {"media"}  # a function of the environment, unless the template has a variable of this name
    for node in tree.find_all(nodes.Name):
        if node.name not in undeclared or id(node) in named:
            continue
        if node.name == "media":
            yield node.lineno, "media takes one file name in quotes: media('hero.png')"
        elif node.name in RECORDS and node.name != "contact":
            yield node.lineno, f"{node.name} is used without a name: write {node.name}.name"


def media_calls(tree: nodes.Template) -> Iterator[tuple[nodes.Name, str]]:
    """Every `media('name')` in `tree`: the node of `media`, and the name."""
    for call in tree.find_all(nodes.Call):
        match call:
            case nodes.Call(
                node=nodes.Name(name="media") as function,
                args=[nodes.Const(value=str(name))],
                kwargs=[],
                dyn_args=None,
                dyn_kwargs=None,
            ) if MEDIA_NAME.fullmatch(name):
                yield function, name
            case _:
                pass


def _nearest(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Of the same record, or of those names that are none."""
    record = name.partition(".")[0] if "." in name else ""
    alike = sorted(each for each in known if each.startswith(f"{record}.") or not record)
    return tuple(get_close_matches(name, alike, n=2, cutoff=0.75))


def unknown(
    part: str,
    found: Collection[Use],
    known_fields: Collection[str] | None,
    others: Mapping[str, Collection[str]] | None = None,
) -> list[UnknownVariable]:
    """The uses of names that are not in the context, and of fields that are not in `known_fields` (None: any is).

    `others`: what there is of `segments`, `tables` and `coupons`; any name is good of those that are not in it.
    """
    fields = dict(others or {})
    if known_fields is not None:
        fields["contact"] = known_fields
    known = {*CONTEXT, *(f"{record}.{field}" for record, names in fields.items() for field in names)}
    return [
        UnknownVariable(part, use.line, use.name, _nearest(use.name, known))
        for use in found
        if use.name not in known and ("." not in use.name or use.name.partition(".")[0] in fields)
    ]
