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
    "machine_reason": pl.String,  # what gave the machine away, see docs/machines.md; null: a human
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

ASSIGNMENTS: dict[str, Any] = {
    "run_id": pl.String,
    "campaign": pl.String,
    "experiment": pl.String,
    "layer": pl.String,  # whose experiments have no contact in common; null: of none
    "contact_id": pl.String,
    "variant": pl.String,
    "status": pl.String,  # planned, held_out, held_out_globally
    "assigned_at": Time,
    "first_run_id": pl.String,
    "reassigned_from": pl.String,
    "exposed_at": Time,
}

ASSIGNED: dict[str, Any] = {  # of the audience: what assignments are made from
    "contact_id": pl.String,
    "status": pl.String,
    "variant": pl.String,
    "first_run_id": pl.String,
    "reassigned_from": pl.String,
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
    "variant": pl.String,
    "n": pl.Int64,
    "mean": pl.Float64,
    "variance": pl.Float64,
    "denominator_mean": pl.Float64,
    "denominator_variance": pl.Float64,
    "denominator_covariance": pl.Float64,
    "covariate_mean": pl.Float64,
    "covariate_variance": pl.Float64,
    "covariate_covariance": pl.Float64,
}

AB_RESULTS: dict[str, Any] = {  # grain: experiment x run x day (or look) x metric x variant
    "experiment": pl.String,  # the campaign, or the name of an imported experiment
    "run_id": pl.String,  # null: imported
    "day": pl.Date,  # events to the end of this day (UTC) count; null: all of them
    "look": pl.Float64,  # of imported aggregates: which look; else null
    "metric": pl.String,
    "metric_type": pl.String,  # proportion | mean | ratio | revenue
    "unit": pl.String,  # what was assigned: contact, or as an imported file says
    "is_goal": pl.Boolean,  # the metric that decides
    "variant": pl.String,
    "control": pl.String,  # name of the control
    "is_control": pl.Boolean,
    "units": pl.Int64,  # assigned to the variant
    "n": pl.Int64,  # of them with a known value
    "successes": pl.Int64,  # proportions only
    "mean": pl.Float64,  # of a proportion: the rate; of a ratio: the ratio of the sums
    "variance": pl.Float64,  # of one unit, n - 1; of a ratio: of its linearised form
    "denominator_mean": pl.Float64,  # ratios only
    "absolute": pl.Float64,  # variant less control; with CUPED, of the adjusted means
    "absolute_low": pl.Float64,
    "absolute_high": pl.Float64,
    "standard_error": pl.Float64,  # of `absolute`, unpooled
    "score_low": pl.Float64,  # Newcombe's interval of `absolute`; proportions without CUPED only
    "score_high": pl.Float64,
    "relative": pl.Float64,  # variant / control - 1
    "relative_low": pl.Float64,
    "relative_high": pl.Float64,
    "test": pl.String,  # z | welch
    "statistic": pl.Float64,
    "df": pl.Float64,  # of Welch's test
    "p": pl.Float64,  # two-sided, not adjusted; for one look that was fixed before
    "p_adjusted": pl.Float64,  # for the number of treatments of the metric
    "adjustment": pl.String,  # design.Correction
    "confidence": pl.Float64,  # of all intervals
    "cuped_used": pl.Boolean,  # null: the metric has no covariate
    "cuped_mean": pl.Float64,  # the arm's mean with its covariate taken into account
    "theta": pl.Float64,  # cov(metric, covariate) / var(covariate), all arms
    "variance_reduction": pl.Float64,  # share of the variance of the differences that CUPED took away
    "seq_low": pl.Float64,  # interval of `absolute` that holds at every look at once
    "seq_high": pl.Float64,
    "seq_p": pl.Float64,  # two-sided, at every look at once, not adjusted for several treatments
    "seq_p_adjusted": pl.Float64,
    "n_star": pl.Int64,  # planned units of control and variant: where the sequential interval is narrowest
    "prob_beat_control": pl.Float64,  # to be better (lower where lower is better)
    "prob_best": pl.Float64,  # of all arms
    "expected_loss": pl.Float64,  # beside the best arm, in units of the metric
    "small_sample": pl.Boolean,  # too few for the normal approximation
    "expected_weight": pl.Float64,  # share of units that the variant should have
    "srm_chi2": pl.Float64,
    "srm_p": pl.Float64,  # sample-ratio check over all variants; null: fewer than two, or no units
    "srm_seq_p": pl.Float64,  # the same at every look at once; below 0.001 nothing is decided
    "target": pl.Float64,  # relative change that the test should find
    "mde_now": pl.Float64,  # smallest absolute difference that the units at hand find with the planned power
    "power_at_target": pl.Float64,  # probability to find the target with the units at hand
    "n_required": pl.Int64,  # units of all arms together that find the target with the planned power
    "guardrail": pl.String,  # guardrails.Guardrail; null: the metric is none
    "guardrail_margin": pl.Float64,  # absolute harm that is borne
    "error": pl.String,  # '' or statistics.Error: why there is no figure
    "decision": pl.String,  # decisions.Decision, on the goal's rows of treatments; else null
    "decision_reason": pl.String,
    "rule": pl.String,  # version of the decision rule
    "engine": pl.String,  # what computed the figures
}
