"""Names in definition files, which become partition keys and file names."""

from typing import Annotated

from pydantic import BeforeValidator

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import check_name


def _name(value: object) -> object:
    """Only what is safe in both."""
    if isinstance(value, str):
        try:
            check_name("the", value)
        except InvalidInput as error:
            raise ValueError(f"{error.message.removeprefix('the ')}. {error.hint}") from None
    return value


Name = Annotated[str, BeforeValidator(_name)]
