"""Columns of the tables that analytics reads and writes; meanings stand in the heads of sql/analytics/*.sql."""

from typing import Any

import polars as pl

Time = pl.Datetime("us", "UTC")

DELIVERY_EVENTS: dict[str, Any] = {  # grain: event, each once, by UTC day
    "event_id": pl.String,  # the same for every delivery of the event
    "run_id": pl.String,  # empty: nobody knows of which run it is
    "message_id": pl.String,  # empty: nobody knows of which message it is
    "provider": pl.String,  # who told
    "channel": pl.String,  # words.Channel
    "type": pl.String,  # words.EventType
    "occurred_at": Time,  # when it happened, by the provider's clock
    "received_at": Time,  # when it reached us
    "provider_id": pl.String,  # as the provider calls the message
    "reason": pl.String,  # class:code of a failure (hard, soft ...), keyword class of a reply
    "url": pl.String,  # the link that was clicked; null: none
    "machine": pl.Boolean,  # no human did it
    "raw_type": pl.String,  # as the provider calls the type
}

STATES: dict[str, Any] = {  # the ledger's newest state of each message
    "message_no": pl.Int32,
    "state": pl.String,  # words.Outcome, 'planned' or 'in_flight'
    "code": pl.String,
    "recorded_at": Time,
}

MESSAGES: dict[str, Any] = {
    "message_no": pl.Int32,
    "message_id": pl.String,
    "contact_id": pl.String,
    "channel": pl.String,  # null: the campaign's, in files of an earlier version
    "step": pl.Int16,  # 0, or the number of a fallback
    "locale": pl.String,  # the language that it is in
    "sms_parts": pl.Int16,  # null unless SMS
}

AUDIENCE: dict[str, Any] = {  # grain: run x contact of its segment; what analysts see of it: nothing personal
    "contact_id": pl.String,  # who
    "status": pl.String,  # words.AudienceStatus
    "reason": pl.String,  # why suppressed or capped; else empty
    "variant": pl.String,  # null: is not sent to
    "send_at": Time,  # when the message is due; null: is not sent to
}

_RUN: dict[str, Any] = {"run_id": pl.String, "campaign": pl.String, "channel": pl.String}

_EARNED: dict[str, Any] = {
    "conversions": pl.Int64,
    "revenue": pl.Float64,
    "attributed_conversions": pl.Float64,
    "attributed_revenue": pl.Float64,
}

MESSAGE_FACTS: dict[str, Any] = {
    **_RUN,
    "contact_id": pl.String,
    "variant": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "message_id": pl.String,
    "send_at": Time,
    "outcome": pl.String,
    "code": pl.String,
    "accepted": pl.Boolean,
    "accepted_at": Time,
    "delivery": pl.String,
    "delivered_at": Time,
    "read_at": Time,
    "bounced_at": Time,
    "bounce_class": pl.String,
    "failed_at": Time,
    "opened_at": Time,
    "machine_opened_at": Time,
    "clicked_at": Time,
    "machine_clicked_at": Time,
    "replied_at": Time,
    "unsubscribed_at": Time,
    "complained_at": Time,
    "opens": pl.Int64,
    "clicks": pl.Int64,
    "machine_opens": pl.Int64,
    "machine_clicks": pl.Int64,
    "step": pl.Int16,
    "locale": pl.String,
    "recipient_domain": pl.String,
    "sms_parts": pl.Int16,
    "error_class": pl.String,
    "error_code": pl.String,
    "cost": pl.Float64,
    "converted_at": Time,
    **_EARNED,
}

AUDIENCE_SUMMARY: dict[str, Any] = {**_RUN, "status": pl.String, "reason": pl.String, "contacts": pl.Int64}

_ENGAGEMENT = (
    *("delivered", "read", "bounced", "failed_later", "opened", "clicked", "replied", "unsubscribed", "complained"),
    *("machine_opened", "machine_clicked"),
)

_RATES = (
    *("delivery_rate", "bounce_rate", "read_rate", "open_rate", "click_rate", "reply_rate"),
    *("unsubscribe_rate", "complaint_rate", "conversion_rate"),
)

CAMPAIGN_METRICS: dict[str, Any] = {
    **_RUN,
    "variant": pl.String,
    **dict.fromkeys(
        (
            *("planned", "sent", "accepted", "failed", "rejected", "expired", "cancelled"),
            *("suppressed_late", "in_doubt", "unknown", "in_flight", "waiting"),
            *_ENGAGEMENT,
            *("hard_bounced", "soft_bounced", "other_bounced"),
            *("opens", "clicks", "machine_opens", "machine_clicks", "converted"),
        ),
        pl.Int64,
    ),
    **_EARNED,
    "cost": pl.Float64,
    **dict.fromkeys(_RATES, pl.Float64),
    **dict.fromkeys((f"{rate}_{end}" for rate in _RATES for end in ("low", "high")), pl.Float64),
}

CAMPAIGN_DAYS: dict[str, Any] = {
    **_RUN,
    "variant": pl.String,
    "day": pl.Date,
    **dict.fromkeys(("accepted", *_ENGAGEMENT, "converted"), pl.Int64),
    **_EARNED,
    "cost": pl.Float64,
}

AB_STATISTICS: dict[str, Any] = {
    "metric": pl.String,
    "variant": pl.String,
    "n": pl.Int64,
    "mean": pl.Float64,
    "variance": pl.Float64,
}

AB_RESULTS: dict[str, Any] = {  # grain: experiment x run x day x metric x variant
    "experiment": pl.String,  # the campaign, or the name of an imported experiment
    "run_id": pl.String,  # null: imported
    "day": pl.Date,  # events to the end of this day (UTC) count; null: all of them
    "metric": pl.String,
    "metric_type": pl.String,  # proportion | mean
    "is_goal": pl.Boolean,  # the metric that decides
    "variant": pl.String,
    "control": pl.String,  # name of the control
    "is_control": pl.Boolean,
    "units": pl.Int64,  # assigned to the variant
    "n": pl.Int64,  # of them with a known value
    "successes": pl.Int64,  # proportions only
    "mean": pl.Float64,  # of a proportion: the rate
    "variance": pl.Float64,  # sample variance, n - 1
    "absolute": pl.Float64,  # variant less control
    "absolute_low": pl.Float64,
    "absolute_high": pl.Float64,
    "score_low": pl.Float64,  # Newcombe's interval of `absolute`; proportions only
    "score_high": pl.Float64,
    "relative": pl.Float64,  # variant / control - 1
    "relative_low": pl.Float64,
    "relative_high": pl.Float64,
    "test": pl.String,  # z | welch
    "statistic": pl.Float64,
    "df": pl.Float64,  # of Welch's test
    "p": pl.Float64,  # two-sided, not adjusted
    "confidence": pl.Float64,  # of all intervals
    "small_sample": pl.Boolean,  # too few for the normal approximation
    "expected_weight": pl.Float64,  # share of units that the variant should have
    "srm_chi2": pl.Float64,
    "srm_p": pl.Float64,  # sample-ratio check over all variants; null: fewer than two, or no units
    "error": pl.String,  # '' or statistics.Error: why there is no figure
    "decision": pl.String,  # decisions.Decision, on the goal's rows of treatments; else null
    "decision_reason": pl.String,
    "rule": pl.String,  # version of the decision rule
    "engine": pl.String,  # what computed the figures
}
