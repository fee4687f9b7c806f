-- campaign_metrics: the figures of a run by variant, up to now.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x variant x channel (that of the last message that was called for), over the contacts that were planned;
--          held-out and left-out ones, by reason: audience_summary
-- Output   run_id, campaign, channel, variant
--          planned          contacts that were to get a message;
--                           planned = accepted + failed + suppressed_late + in_doubt + in_flight + waiting
--          sent             a request left, or may have: accepted + rejected + in_doubt + in_flight
--          accepted         the provider took it
--          failed           rejected + expired + cancelled
--          rejected, expired, cancelled   refused by the provider; past its deadline; ended by an operator
--          suppressed_late  the address was suppressed after the freeze
--          in_doubt         nobody knows
--          unknown          of in_doubt, those that were given up as such
--          in_flight        claimed just now; its answer is awaited
--          waiting          not tried yet, or to be tried again
--          delivered        delivered or read, and not bounced afterwards
--          bounced          bounced, before or after a delivery
--          hard_bounced, soft_bounced, other_bounced   of `bounced`, by the class of the first bounce
--          failed_later     accepted, then reported as failed by the provider
--          read, opened, clicked, replied, unsubscribed, complained
--                           contacts with at least one such event; opens and clicks of humans only
--          machine_opened, machine_clicked   contacts with at least one by a machine
--          opens, clicks    events of humans
--          machine_opens, machine_clicks   events of machines
--          converted        contacts with a conversion within the campaign's window; null: it counts none
--          conversions, revenue   number and value of them all, whatever touched the contact
--          attributed_conversions, attributed_revenue   of them, what is credited to this run
--          cost             of the messages that were accepted; null: no price is known
--          delivery_rate, bounce_rate                     of accepted
--          read_rate, open_rate, click_rate, reply_rate,
--          unsubscribe_rate, complaint_rate               of delivered
--          conversion_rate                                of planned
--          delivery_rate_low, delivery_rate_high, bounce_rate_low, bounce_rate_high, read_rate_low, read_rate_high,
--          open_rate_low, open_rate_high, click_rate_low, click_rate_high, reply_rate_low, reply_rate_high,
--          unsubscribe_rate_low, unsubscribe_rate_high, complaint_rate_low, complaint_rate_high,
--          conversion_rate_low, conversion_rate_high      95% score interval of the rate
-- Rule     A rate is null where its denominator is 0. Where a provider lost a delivery event, a rate can exceed 1; it
--          has no interval then.
-- Source   definitions as SendGrid's and Mailchimp's reports: unique contacts, clicks over delivered; intervals:
--          sql/macros/wilson.sql

WITH counted AS (
    SELECT
        run_id, campaign, channel, variant,
        count(*) AS planned,
        count(*) FILTER (outcome IN ('accepted', 'rejected', 'in_doubt', 'unknown', 'in_flight')) AS sent,
        count(*) FILTER (outcome = 'accepted') AS accepted,
        count(*) FILTER (outcome IN ('rejected', 'expired', 'cancelled')) AS failed,
        count(*) FILTER (outcome = 'rejected') AS rejected,
        count(*) FILTER (outcome = 'expired') AS expired,
        count(*) FILTER (outcome = 'cancelled') AS cancelled,
        count(*) FILTER (outcome = 'suppressed') AS suppressed_late,
        count(*) FILTER (outcome IN ('in_doubt', 'unknown')) AS in_doubt,
        count(*) FILTER (outcome = 'unknown') AS unknown,
        count(*) FILTER (outcome = 'in_flight') AS in_flight,
        count(*) FILTER (outcome IN ('planned', 'not_sent', 'throttled')) AS waiting,
        count(*) FILTER (delivery IN ('delivered', 'read')) AS delivered,
        count(bounced_at) AS bounced,
        count(*) FILTER (bounced_at IS NOT NULL AND bounce_class = 'hard') AS hard_bounced,
        count(*) FILTER (bounced_at IS NOT NULL AND bounce_class = 'soft') AS soft_bounced,
        bounced - hard_bounced - soft_bounced AS other_bounced,
        count(*) FILTER (delivery IN ('failed', 'cancelled')) AS failed_later,
        count(read_at) AS read,
        count(opened_at) AS opened,
        count(clicked_at) AS clicked,
        count(replied_at) AS replied,
        count(unsubscribed_at) AS unsubscribed,
        count(complained_at) AS complained,
        count(machine_opened_at) AS machine_opened,
        count(machine_clicked_at) AS machine_clicked,
        coalesce(sum(opens), 0)::BIGINT AS opens,
        coalesce(sum(clicks), 0)::BIGINT AS clicks,
        coalesce(sum(machine_opens), 0)::BIGINT AS machine_opens,
        coalesce(sum(machine_clicks), 0)::BIGINT AS machine_clicks,
        CASE WHEN count(conversions) > 0 THEN count(converted_at) END AS converted,
        sum(conversions)::BIGINT AS conversions,
        sum(revenue::DECIMAL(24, 6))::DOUBLE AS revenue,
        sum(attributed_conversions ORDER BY contact_id) FILTER (attributed_conversions IS NOT NULL)
            AS attributed_conversions,
        sum(attributed_revenue ORDER BY contact_id) FILTER (attributed_revenue IS NOT NULL) AS attributed_revenue,
        sum(cost::DECIMAL(24, 8))::DOUBLE AS cost
    FROM facts
    WHERE status = 'planned'
    GROUP BY ALL
)

SELECT
    *,
    delivered / nullif(accepted, 0) AS delivery_rate,
    bounced / nullif(accepted, 0) AS bounce_rate,
    read / nullif(delivered, 0) AS read_rate,
    opened / nullif(delivered, 0) AS open_rate,
    clicked / nullif(delivered, 0) AS click_rate,
    replied / nullif(delivered, 0) AS reply_rate,
    unsubscribed / nullif(delivered, 0) AS unsubscribe_rate,
    complained / nullif(delivered, 0) AS complaint_rate,
    converted / nullif(planned, 0) AS conversion_rate,
    wilson_low(delivered, accepted) AS delivery_rate_low,
    wilson_high(delivered, accepted) AS delivery_rate_high,
    wilson_low(bounced, accepted) AS bounce_rate_low,
    wilson_high(bounced, accepted) AS bounce_rate_high,
    wilson_low(read, delivered) AS read_rate_low,
    wilson_high(read, delivered) AS read_rate_high,
    wilson_low(opened, delivered) AS open_rate_low,
    wilson_high(opened, delivered) AS open_rate_high,
    wilson_low(clicked, delivered) AS click_rate_low,
    wilson_high(clicked, delivered) AS click_rate_high,
    wilson_low(replied, delivered) AS reply_rate_low,
    wilson_high(replied, delivered) AS reply_rate_high,
    wilson_low(unsubscribed, delivered) AS unsubscribe_rate_low,
    wilson_high(unsubscribed, delivered) AS unsubscribe_rate_high,
    wilson_low(complained, delivered) AS complaint_rate_low,
    wilson_high(complained, delivered) AS complaint_rate_high,
    wilson_low(converted, planned) AS conversion_rate_low,
    wilson_high(converted, planned) AS conversion_rate_high
FROM counted
ORDER BY run_id, variant, channel
