"""How the variants of a campaign are compared: the rules of its A/B test, set before anything is sent."""

from typing import Annotated, Literal

from pydantic import Field

from campaign_pipeline.core.definitions import Definition

Margin = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
GuardrailName = Literal["unsubscribed", "complained", "bounced", "delivered", "read", "clicked", "replied", "converted"]

GUARDRAILS: dict[GuardrailName, float] = {"unsubscribed": 0.002, "complained": 0.0005, "bounced": 0.005}
"""Metrics that a better goal must not be paid with, and the harm that is borne: a share of all contacts."""


class Analysis(Definition):
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Two-sided: how often a test of no difference may say one.")
    decision: Literal["fixed", "sequential"] = Field(
        "fixed", description="fixed: once, after decide_after; sequential: at any day, by wider intervals."
    )
    correction: Literal["holm", "benjamini_hochberg", "none"] = Field(
        "holm", description="How the p-values of several treatments are adjusted."
    )
    relative: Literal["log", "linear"] = Field("log", description="How the interval of the relative lift is made.")
    target: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="The relative lift that the test should be able to find."
    )
    power: float = Field(0.8, gt=0, lt=1, description="How likely it should be to find the target.")
    min_units: int = Field(50, ge=2, description="Nothing is decided while an arm has fewer contacts than this.")
    planned_units: int | None = Field(
        None, ge=1, description="N*, where sequential intervals are narrowest; absent: the contacts of the run."
    )
    guardrails: dict[GuardrailName, Margin] = Field(
        GUARDRAILS, description="Metric -> absolute harm that is borne before a better goal is not shipped."
    )
    revenue_cap: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="A contact's revenue above this counts as this."
    )


DEFAULTS = Analysis.model_validate({})
