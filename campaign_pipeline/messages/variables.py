"""Which variables a template uses, and which of them do not exist."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from jinja2 import Environment, meta, nodes

from campaign_pipeline.messages.environment import CONTEXT


@dataclass(frozen=True)
class Use:
    """One place where a part reads `name`: `contact.<field>`, or a name of the context."""

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
    found |= set(_fields(tree))
    return sorted(found, key=lambda use: (use.line, use.name))


def _fields(tree: nodes.Template) -> Iterator[Use]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if not (isinstance(node.node, nodes.Name) and node.node.name == "contact"):
            continue
        if isinstance(node, nodes.Getattr):
            yield Use(f"contact.{node.attr}", node.lineno)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            yield Use(f"contact.{node.arg.value}", node.lineno)


def unknown(part: str, found: Collection[Use], known_fields: Collection[str] | None) -> list[UnknownVariable]:
    """The uses of names that are not in the context, and of fields that are not in `known_fields` (None: any is)."""
    known = set(CONTEXT)
    if known_fields is not None:
        known |= {f"contact.{field}" for field in known_fields}
    return [
        UnknownVariable(part, use.line, use.name, tuple(get_close_matches(use.name, sorted(known), n=2, cutoff=0.75)))
        for use in found
        if use.name not in known and (known_fields is not None or "." not in use.name)
    ]
