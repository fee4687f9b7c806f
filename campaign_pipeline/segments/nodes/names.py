"""One name or several, as they are written: `spring`, or `[spring, summer]` for any of them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from campaign_pipeline.segments.operators import Text, not_empty


def several(value: Any) -> Any:
    """One name as a list of one."""
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[Text, ...],
    BeforeValidator(several, json_schema_input_type=Text | tuple[Text, ...]),
    Field(max_length=100),
    AfterValidator(not_empty),
]


def any_of(names: tuple[str, ...]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
