"""What a piece of a template reads: the columns that decide what it prints."""

from collections.abc import Iterable, Iterator

from jinja2 import Environment, nodes
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from campaign_pipeline.messages.environment import CONTEXT, RECORDS
from campaign_pipeline.messages.skeleton import keeps_state

LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
"""What of `loop` a loop over a column has."""

_KEEPS_STATE = (
    nodes.Macro,
    nodes.CallBlock,
    nodes.Block,
    nodes.Extends,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.NSRef,
)
_OWN_SCOPE = (nodes.For, nodes.With, nodes.Macro, nodes.FilterBlock, nodes.CallBlock, nodes.AssignBlock, nodes.Scope)


class CannotDivide(Exception):
    """A piece that Jinja2 has to render as a whole; the message says why."""


def shared_state(environment: Environment, slots: Iterable[Iterable[nodes.Node]]) -> str | None:
    """Why the slots of a part cannot be rendered one by one; None if they can."""
    for node in (node for slot in slots for node in slot):
        for each in _and_below(node):
            if isinstance(each, _KEEPS_STATE):
                return keeps_state(each)
            if sees_context(environment, each):
                return f"a function that sees everything on line {each.lineno}"
            if isinstance(each, nodes.Name):
                if each.ctx != "load" and each.name in (*CONTEXT, "loop"):
                    return f"{each.name} is set on line {each.lineno}"
                if each.ctx == "load" and each.name in ("self", "super", "caller"):
                    return f"{each.name} is used on line {each.lineno}"
        for each in _in_this_scope(node):
            if isinstance(each, nodes.Assign | nodes.AssignBlock):
                return keeps_state(each)
    return None


def reads(environment: Environment, names: frozenset[str], node: nodes.Node) -> frozenset[str]:
    """The columns of `names` that `node` reads; more than it needs where a name inside it hides one."""
    return frozenset(_reads(environment, names, node))


def _reads(environment: Environment, names: frozenset[str], node: nodes.Node) -> Iterator[str]:
    match node:
        case (
            nodes.Getattr(node=nodes.Name(name=root), attr=str(field))
            | nodes.Getitem(node=nodes.Name(name=root), arg=nodes.Const(value=str(field)))
        ):
            if f"{root}.{field}" in names:
                yield f"{root}.{field}"
                return
            if root in RECORDS:  # such a field is not there, for nobody
                return
            if root == "loop" and "loop.index" in names:
                raise CannotDivide(f"loop.{field} is used")
        case nodes.Name(name=name) if name in names:
            yield name
        case nodes.Name(name="loop") if "loop.index" in names:
            raise CannotDivide("loop itself is used")
        case _:
            pass
    for child in node.iter_child_nodes():
        yield from _reads(environment, names, child)


def sees_context(environment: Environment, node: nodes.Node) -> bool:
    """Whether `node` calls a function that is given Jinja2's context. (Jinja2's own `map` and such only pass it on.)"""
    match node:
        case nodes.Filter(name=str(name)):
            function, own = environment.filters.get(name), FILTERS.get(name)
        case nodes.Test(name=str(name)):
            function, own = environment.tests.get(name), TESTS.get(name)
        case nodes.Name(name=name):
            function, own = environment.globals.get(name), None
        case _:
            return False
    return function is not own and getattr(getattr(function, "jinja_pass_arg", None), "name", None) == "context"


def _and_below(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from node.find_all(nodes.Node)


def _in_this_scope(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    if isinstance(node, _OWN_SCOPE):
        return
    for child in node.iter_child_nodes():
        yield from _in_this_scope(child)
