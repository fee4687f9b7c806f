"""How a campaign is tested: under which name, on whom, how long, and whether a contact keeps its variant."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Self

from pydantic import Field, model_validator

from campaign_pipeline.campaigns.assignment import Range
from campaign_pipeline.campaigns.names import Name
from campaign_pipeline.core.definitions import Definition

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
WHOLE: Range = (0.0, 1.0)


class Period(Definition):
    """Of days in UTC: from the beginning of `since` to the beginning of `until`."""

    since: date | None = Field(None, description="Absent: from the beginning.")
    until: date | None = Field(None, description="The first day that is out; absent: no end.")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError(f"until {self.until} is not after since {self.since}")
        return self

    def holds_at(self, moment: datetime) -> bool:
        return (self.since is None or _begin(self.since) <= moment) and (
            self.until is None or moment < _begin(self.until)
        )

    def meets(self, other: "Period") -> bool:
        """Whether there is a moment at which both hold."""
        return (self.since is None or other.until is None or self.since < other.until) and (
            other.since is None or self.until is None or other.since < self.until
        )


class ExperimentDesign(Period):
    name: Name | None = Field(None, description="The campaign's if absent; campaigns of one name are one experiment.")
    layer: Name | None = Field(None, description="Experiments of a layer never have a contact in common.")
    range: tuple[Share, Share] | None = Field(None, description="Its part of the layer, [from, to); absent: all of it.")
    coverage: float = Field(1, gt=0, le=1, allow_inf_nan=False, description="Which share of those takes part.")
    sticky: bool = Field(True, description="Whether a contact keeps its variant when weights change.")

    @model_validator(mode="after")
    def _has_a_part_of_a_layer(self) -> Self:
        if self.range and not self.layer:
            raise ValueError("range: is a part of a layer: name the layer, or give a coverage")
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"range: must go up, such as [0, 0.5], not {list(self.range)}")
        return self

    @property
    def part(self) -> Range:
        """Of the layer, half-open."""
        return self.range or WHOLE


ON_ALL = ExperimentDesign.model_validate({})
"""Of a campaign that says nothing about it: all of its audience, under its own name."""


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
