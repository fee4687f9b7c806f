-- campaign_metrics: the figures of a run by variant, up to now.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x variant, over the contacts that were planned (held-out and left-out ones: audience_summary)
-- Output   run_id, campaign, channel, variant
--          planned          contacts that were to get a message;
--                           planned = accepted + failed + suppressed_late + in_doubt + in_flight + waiting
--          sent             a request left, or may have: accepted + rejected + in_doubt + in_flight
--          accepted         the provider took it
--          failed           rejected + expired + cancelled, each given as well
--          suppressed_late  the address was suppressed after the freeze
--          in_doubt         nobody knows; `unknown` of them were given up as such
--          in_flight        claimed just now; its answer is awaited
--          waiting          not tried yet, or to be tried again
--          delivered        delivered or read, and not bounced afterwards
--          bounced          bounced, before or after a delivery
--          failed_later     accepted, then reported as failed by the provider
--          read, opened, clicked, replied, unsubscribed, complained
--                           contacts with at least one such event; opens and clicks of humans only
--          machine_opened, machine_clicked   contacts with at least one by a machine
--          opens, clicks    events of humans
--          delivery_rate, bounce_rate                     of accepted
--          read_rate, open_rate, click_rate, reply_rate,
--          unsubscribe_rate, complaint_rate               of delivered
-- Rule     A rate is null where its denominator is 0. Where a provider lost a delivery event, a rate can exceed 1.
-- Source   definitions as SendGrid's and Mailchimp's reports: unique contacts, clicks over delivered

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
        coalesce(sum(clicks), 0)::BIGINT AS clicks
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
    complained / nullif(delivered, 0) AS complaint_rate
FROM counted
ORDER BY run_id, variant
