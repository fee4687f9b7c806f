"""A template ready to render: its parts cut, and what each contact's message says in them.

This is the seam for a faster renderer: `CompiledTemplate.render` takes a contact's context and gives its
fragments; whatever does the same for many contacts at once must give the same fragments and problems.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign_pipeline.messages.definition import Template, environment_of, is_single_line
from campaign_pipeline.messages.environment import one_line, safe_problem, template_line
from campaign_pipeline.messages.skeleton import Cut, Skeleton, cut
from campaign_pipeline.messages.typography import plain
from campaign_pipeline.messages.variables import uses


@dataclass(frozen=True)
class Problem:
    """Why a message cannot be rendered; without data of the contact."""

    part: str
    line: int
    problem: str


class RenderingError(Exception):
    """One message could not be rendered. Carries the Problem, and nothing of the contact."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class CompiledPart:
    name: str
    cut: Cut
    skeleton: Skeleton
    single_line: bool
    can_be_blank: bool
    plain: bool = False
    """Typographic characters are sent as plain ones, in constants and fragments alike."""

    def render(self, context: Mapping[str, Any]) -> list[str]:
        try:
            fragments = self.cut.fragments(context)
        except Exception as error:  # noqa: BLE001  (a template can raise anything; it is told, for all contacts at once)
            problem = Problem(self.name, template_line(error), safe_problem(error))
            raise RenderingError(problem) from None
        if self.single_line:
            fragments = [one_line(fragment) for fragment in fragments]
        if self.plain:
            fragments = [plain(fragment) for fragment in fragments]
        if self.can_be_blank and not "".join(fragments).strip():
            raise RenderingError(Problem(self.name, 1, "is empty"))
        return fragments


@dataclass(frozen=True)
class CompiledTemplate:
    parts: tuple[CompiledPart, ...]
    names: frozenset[str]
    """What of the context the parts read: `contact.<field>`, unsubscribe_url ..."""

    def render(self, context: Mapping[str, Any]) -> list[str]:
        """The fragments of all parts, in the order of the skeleton rows. Raises RenderingError."""
        return [fragment for part in self.parts for fragment in part.render(context)]


def compile_template(template: Template, locale: str | None = None) -> CompiledTemplate:
    """Cut every part of a valid template, in one of its languages (None: its own).

    A subject and WhatsApp variables are one line: control characters in them, line breaks above all, become
    one space each run. (A line break in a subject would begin another header; WhatsApp refuses them.)
    A part that renders to nothing but white space is a problem: providers refuse it, and then the whole campaign.
    """
    language = locale or template.locale
    sources = template.parts(language)
    parts = tuple(_compile_part(name, source, language, template.plain_characters) for name, source in sources.items())
    names = {use.name for name, source in sources.items() for use in uses(environment_of(name), source)}
    return CompiledTemplate(parts, frozenset(names))


def _compile_part(name: str, source: str, locale: str, plainly: bool) -> CompiledPart:
    single_line = is_single_line(name)
    piece = cut(environment_of(name, locale), source, name)
    constants = piece.skeleton.constants
    if single_line:
        constants = tuple(one_line(constant) for constant in constants)
    if plainly:
        constants = tuple(plain(constant) for constant in constants)
    return CompiledPart(name, piece, Skeleton(constants), single_line, not "".join(constants).strip(), plainly)
