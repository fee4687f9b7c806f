"""Previews for people: each variant's message to a made-up contact. No personal data, so they may be shown anywhere."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.messages.compiled import RenderingError, compile_template
from campaign_pipeline.messages.context import example_context, needs
from campaign_pipeline.messages.environment import Record
from campaign_pipeline.messages.run_context import example_links
from campaign_pipeline.messages.skeletons import message_skeleton
from campaign_pipeline.messages.store import StoredTemplate

_EXAMPLES: dict[str, Any] = {
    "contact_id": "0" * 24,
    "external_id": "example",
    "email": "alex@example.com",
    "phone": "+12025550100",
    "first_name": "Alex",
    "last_name": "Example",
    "locale": "en-US",
    "country": "US",
    "timezone": "America/New_York",
}
_BY_TYPE: dict[Any, Any] = {
    pl.String: "example",
    pl.Boolean: True,
    pl.Datetime: datetime(2026, 1, 15, 9, tzinfo=UTC),
    pl.Date: date(2026, 1, 15),
    pl.List: [],
}


def example_contact(schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """A made-up contact with every column of the contact snapshot, by its name or else its type."""
    return {name: _example(name, kind) for name, kind in schema.items()}


def _example(name: str, kind: pl.DataType) -> Any:
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    if kind.is_integer():
        return 120
    if kind.is_float():
        return 49.5
    return _BY_TYPE.get(kind.base_type())


def preview_with_example(
    templates: Mapping[str, StoredTemplate],
    contact: Mapping[str, Any],
    *,
    campaign: str,
    public_url: str,
    items: Mapping[str, pl.DataType] | None = None,
) -> dict[str, dict[str, str]]:
    """variant -> part -> whole text, for `contact`, which is an example and not a person.

    `items`: contact table -> the type of its items, of which examples are made.
    InvalidInput if a template cannot be rendered for it. The unsubscribe link in it does nothing.
    """
    same = {"campaign": campaign, **example_links(public_url)}
    return {
        variant: _preview(
            stored,
            {
                "contact": Record(contact),
                **example_context(needs([stored.template]), items),
                **same,
                "variant": variant,
            },
        )
        for variant, stored in sorted(templates.items())
    }


def _preview(stored: StoredTemplate, context: Mapping[str, Any]) -> dict[str, str]:
    compiled = compile_template(stored.template)
    try:
        fragments = compiled.render(context)
    except RenderingError as error:
        problem = error.problem
        raise InvalidInput(
            f"template {stored.template.template}: {problem.part}, line {problem.line}: {problem.problem}",
            "The example contact has every field of the contact snapshot.",
        ) from None
    return message_skeleton(stored.template, compiled).assemble(fragments)
