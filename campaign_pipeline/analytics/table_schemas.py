"""Columns of the tables beside those of schemas.py; meanings stand in the heads of sql/analytics/*.sql."""

from typing import Any

import polars as pl

from campaign_pipeline.analytics.schemas import Time

_RUN: dict[str, Any] = {"run_id": pl.String, "campaign": pl.String, "channel": pl.String}
_ARM: dict[str, Any] = {**_RUN, "variant": pl.String}


def _integers(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Int64)


def _numbers(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Float64)


# ---- conversions --------------------------------------------------------------------------------------------------

STARTS: dict[str, Any] = {"contact_id": pl.String, "variant": pl.String, "status": pl.String, "started_at": Time}

TOUCHES: dict[str, Any] = {
    "run_id": pl.String,
    "contact_id": pl.String,
    "message_id": pl.String,
    "started_at": Time,
    "touched_at": Time,
}

CONVERSION_EVENTS: dict[str, Any] = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "variant": pl.String,
    "status": pl.String,
    "converted_at": Time,
    "value": pl.Float64,
}

ATTRIBUTION: dict[str, Any] = {
    "event_id": pl.String,
    "run_id": pl.String,
    "last_touch_at": Time,
    "credit": pl.Float64,
}

CONVERSIONS: dict[str, Any] = {
    **_RUN,
    "contact_id": pl.String,
    "variant": pl.String,
    "status": pl.String,
    "event_id": pl.String,
    "converted_at": Time,
    "value": pl.Float64,
    "last_touch_at": Time,
    "credit": pl.Float64,
}

PRE_PERIOD: dict[str, Any] = {
    "run_id": pl.String,
    "contact_id": pl.String,
    "conversions": pl.Int64,
    "value": pl.Float64,
}

HOLDOUT_LIFT: dict[str, Any] = {  # grain: run x holdout x metric
    "run_id": pl.String,
    "campaign": pl.String,
    "metric": pl.String,  # converted (whether), conversions, revenue: per contact, within the campaign's window
    "against": pl.String,  # held_out, or held_out_globally
    "planned": pl.Int64,  # contacts that were to get a message, whether they got it or not
    "held_out": pl.Int64,  # contacts of the holdout
    "planned_mean": pl.Float64,  # of the planned; of converted: their conversion rate
    "held_out_mean": pl.Float64,  # of the holdout: what would have happened anyway
    "lift": pl.Float64,  # planned_mean less held_out_mean
    "lift_low": pl.Float64,  # 95% interval of lift: converted by Wald with unpooled variance, else by Welch
    "lift_high": pl.Float64,  # its upper end
    "relative": pl.Float64,  # planned_mean / held_out_mean - 1; null where nobody held out converted
    "relative_low": pl.Float64,  # 95% interval of relative, by the delta method on the log
    "relative_high": pl.Float64,  # its upper end
    "p": pl.Float64,  # two-sided: converted by the z-test with pooled variance, else by Welch's t-test
    "incremental": pl.Float64,  # lift x planned: what sending brought about in all
    "incremental_low": pl.Float64,  # lift_low x planned
    "incremental_high": pl.Float64,  # lift_high x planned
    "total": pl.Float64,  # sum over the planned, whatever touched them
    "attributed": pl.Float64,  # of it, what is credited to the run by its model; null: of converted there is none
    "error": pl.String,  # why there is no figure, as in ab_results; else empty
}

# ---- runs ---------------------------------------------------------------------------------------------------------

FUNNEL: dict[str, Any] = {
    **_ARM,
    "stage_no": pl.Int64,
    "stage": pl.String,
    "contacts": pl.Int64,
    **_numbers("of_planned", "of_previous"),
}

RESPONSE_TIMES: dict[str, Any] = {
    **_ARM,
    "response": pl.String,
    "contacts": pl.Int64,
    **_numbers("p10", "p25", "median", "p75", "p90"),
    **_integers("within_5m", "within_1h", "within_6h", "within_24h", "within_72h"),
}

REPLIES: dict[str, Any] = {**_ARM, "keyword": pl.String, **_integers("replies", "contacts")}

LINK_PERFORMANCE: dict[str, Any] = {
    **_ARM,
    "url": pl.String,
    **_integers("clickers", "clicks", "machine_clicks"),
    **_numbers("click_rate", "click_rate_low", "click_rate_high", "share"),
}

CONTENT_PERFORMANCE: dict[str, Any] = {
    **_ARM,
    "template": pl.String,
    "locale": pl.String,
    **_integers("messages", "delivered", "opened", "clicked", "replied", "unsubscribed", "converted"),
    **_numbers("open_rate", "click_rate", "unsubscribe_rate", "click_rate_low", "click_rate_high", "click_to_open"),
}

DELIVERABILITY: dict[str, Any] = {
    **_RUN,
    "recipient_domain": pl.String,
    **_integers("accepted", "delivered", "bounced", "hard_bounced", "soft_bounced", "failed_later"),
    **_integers("complained", "unsubscribed", "opened", "machine_opened", "clicked"),
    **_numbers("delivery_rate", "bounce_rate", "complaint_rate", "open_rate"),
    **_numbers(*(f"{rate}_rate_{end}" for rate in ("delivery", "bounce", "complaint") for end in ("low", "high"))),
}

DELIVERY_ERRORS: dict[str, Any] = {
    **_RUN,
    "error_class": pl.String,
    "error_code": pl.String,
    "messages": pl.Int64,
    "of_planned": pl.Float64,
}

STAGE_TIMES: dict[str, Any] = {"stage": pl.String, "started_at": Time, "finished_at": Time, "items": pl.Int64}

SYSTEM_METRICS: dict[str, Any] = {
    **_RUN,
    "stage": pl.String,
    "started_at": Time,
    "finished_at": Time,
    "seconds": pl.Float64,
    "items": pl.Int64,
    **_numbers("per_second", "cost"),
}

# ---- days and contacts --------------------------------------------------------------------------------------------

EVENT_DAYS: dict[str, Any] = {
    "day": pl.Date,
    "run_id": pl.String,
    "channel": pl.String,
    "type": pl.String,
    "machine": pl.Boolean,
    "events": pl.Int64,
}

CONTACT_ACTIVITY: dict[str, Any] = {
    "day": pl.Date,
    "run_id": pl.String,
    "channel": pl.String,
    "contact_id": pl.String,
    "hour": pl.Int8,
    **dict.fromkeys(("delivered", "opened", "clicked", "replied", "bounced", "unsubscribed", "complained"), pl.Int32),
}

CONTACT_ENGAGEMENT: dict[str, Any] = {
    "channel": pl.String,
    "contact_id": pl.String,
    "as_of": pl.Date,
    **_integers("delivered", "opened", "clicked", "replied"),
    "last_delivered_on": pl.Date,
    "last_engaged_on": pl.Date,
    **_integers("recency", "frequency"),
    "score": pl.Float64,
    "best_hour": pl.Int8,
    "unsubscribed": pl.Boolean,
}

COHORT_RETENTION: dict[str, Any] = {
    "cohort": pl.Date,
    **_integers("months_since", "contacts", "engaged"),
    **_numbers("retention", "retention_low", "retention_high"),
}
