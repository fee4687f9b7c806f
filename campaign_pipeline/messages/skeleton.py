"""Cutting a template part into its constant text (the skeleton) and what varies by contact (the fragments).

The cut is made once, at the top level of the Jinja2 syntax tree. Constant text there belongs to the
skeleton; everything between two constant texts (an expression, an if, a for, or several in a row) is one
slot, and what it becomes for a contact is one fragment. Assembled again they are exactly Jinja2's output.

Fragments come from one Jinja2 template in which a separator stands where the constant text was, so that `set`,
macros and `namespace` work across slots. The separator is random for every cut and known to nobody: a
contact's data cannot contain it.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, Template, nodes

from campaign_pipeline.core.errors import Inconsistent

_PRINTS_NOTHING = (nodes.Assign, nodes.AssignBlock, nodes.Macro)


@dataclass(frozen=True)
class Skeleton:
    """The constant texts around the slots of one part: always one more than there are slots."""

    constants: tuple[str, ...]

    @property
    def slots(self) -> int:
        return len(self.constants) - 1

    def assemble(self, fragments: Sequence[str]) -> str:
        """The whole text: constant, fragment, constant, ..., constant."""
        if len(fragments) != self.slots:
            raise Inconsistent(f"{len(fragments)} fragments do not fit a skeleton with {self.slots} slots")
        pieces = [piece for pair in zip(self.constants, fragments, strict=False) for piece in pair]
        return "".join((*pieces, self.constants[-1]))


@dataclass(frozen=True)
class Cut:
    """A part after the cut: its skeleton, and the renderer of its fragments."""

    skeleton: Skeleton
    environment: Environment
    slots: tuple[tuple[nodes.Node, ...], ...]
    """The syntax of each slot; empty if `state` says why they cannot be told apart."""
    state: str | None
    _template: Template
    _separator: str

    def fragments(self, context: Mapping[str, Any]) -> list[str]:
        """The fragments of one contact, one a slot. Raises what Jinja2 raises, with Jinja2's lines."""
        template = self._template
        text = "".join(template.root_render_func(template.new_context(dict(context))))
        slots = self.skeleton.slots
        found = text.split(self._separator) if slots else []
        if len(found) != slots:
            raise Inconsistent(f"template {template.name}: {len(found)} fragments for {slots} slots")
        return found


def cut(environment: Environment, source: str, name: str) -> Cut:
    """Cut `source`; `name` is only used to name the template in errors. Raises TemplateSyntaxError."""
    tree = environment.parse(source, name)
    separator = secrets.token_hex(16)
    if tree.find(nodes.Extends):  # what it prints is decided by its parent: one fragment, the whole output
        return Cut(
            Skeleton(("", "")), environment, (), "it extends another", environment.from_string(source), separator
        )
    constants, body = [""], list[nodes.Node]()
    slots = list[list[nodes.Node]]()
    state: str | None = None
    in_slot = False
    for node in _top_level(tree):
        if isinstance(node, nodes.TemplateData):
            constants[-1] += node.data
            in_slot = in_slot and not node.data
        elif isinstance(node, _PRINTS_NOTHING):
            body.append(node)
            state = state or keeps_state(node)
        else:
            if not in_slot:
                if len(constants) > 1:
                    body.append(_output(nodes.TemplateData(separator), node.lineno))
                constants.append("")
                slots.append([])
                in_slot = True
            slots[-1].append(deepcopy(node))  # compiling changes the tree
            body.append(_output(node, node.lineno) if isinstance(node, nodes.Expr) else node)
    fragments_only = nodes.Template(body, lineno=1)
    fragments_only.set_environment(environment)
    code = environment.compile(fragments_only, name)
    template = environment.template_class.from_code(environment, code, environment.make_globals(None))
    return Cut(Skeleton(tuple(constants)), environment, tuple(map(tuple, slots)), state, template, separator)


def keeps_state(node: nodes.Node) -> str:
    """Why no slot of a part can be rendered by itself: `node` is there."""
    word = {"Assign": "set", "AssignBlock": "set", "CallBlock": "call", "FromImport": "import"}
    kind = type(node).__name__
    return f"there is {{% {word.get(kind, kind.lower())} %}} on line {node.lineno}"


def _top_level(tree: nodes.Template) -> Iterator[nodes.Node]:
    """The statements of `tree`, with the texts and expressions of its outputs one by one."""
    for node in tree.body:
        if isinstance(node, nodes.Output):
            yield from node.nodes
        else:
            yield node


def _output(node: nodes.Expr, line: int) -> nodes.Output:
    return nodes.Output([node], lineno=line)
