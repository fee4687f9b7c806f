"""A misspelt field of a node is told apart from a wrong one."""

import difflib
from typing import Any

from pydantic import model_validator

from campaign_pipeline.core.definitions import Definition


class Spelled(Definition):
    """A definition that names the field which was meant, where one is near."""

    @model_validator(mode="before")
    @classmethod
    def _is_spelled(cls, value: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [name for name in value if name not in known] if isinstance(value, dict) else []
        for name in unknown:
            if near := difflib.get_close_matches(str(name), known, n=1):
                raise ValueError(f"{name}: is not a field here; did you mean {near[0]}?")
        return value
