"""The fields of a contact as a template expects them: with its defaults where a contact has none."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from campaign_pipeline.messages.definition import Input


def filled_in(contacts: pl.Series, inputs: Mapping[str, Input]) -> pl.Series:
    """`contacts` (a Struct column) with the defaults of `inputs` for nulls and for fields that are not there."""
    defaults = {name: each.default for name, each in inputs.items() if each.default is not None}
    if not defaults:
        return contacts
    fields = {field.name for field in contacts.dtype.fields} if isinstance(contacts.dtype, pl.Struct) else set[str]()
    filled = [
        pl.field(name).fill_null(value) if name in fields else pl.lit(value).alias(name)
        for name, value in defaults.items()
    ]
    return contacts.to_frame("contact").select(pl.col("contact").struct.with_fields(filled)).to_series()


def one_filled_in(contact: Mapping[str, Any], inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The same for one contact."""
    defaults = {name: each.default for name, each in inputs.items() if each.default is not None}
    return {**contact, **{name: value for name, value in defaults.items() if contact.get(name) is None}}


def examples(contact: Mapping[str, Any], inputs: Mapping[str, Input]) -> dict[str, Any]:
    """`contact`, a made-up one, with the examples that `inputs` give for its fields, and the defaults of the others."""
    shown = {name: each.example for name, each in inputs.items() if each.example is not None}
    return one_filled_in({**contact, **shown}, inputs)
