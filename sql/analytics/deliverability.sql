-- deliverability: how the mailbox providers took the e-mails of a run, and the carriers its other messages.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x channel x recipient_domain
-- Output   run_id, campaign, channel
--          recipient_domain  as in message_facts: 'other' has the domains with few recipients; null: no e-mail
--          accepted          messages that the provider took
--          delivered         delivered or read, and not bounced afterwards
--          bounced, hard_bounced, soft_bounced   bounced, before or after a delivery; bounced has other classes too
--          failed_later      accepted, then reported as failed by the provider
--          complained, unsubscribed, opened, machine_opened, clicked   contacts with at least one
--          delivery_rate, bounce_rate     of accepted
--          complaint_rate, open_rate      of delivered
--          delivery_rate_low, delivery_rate_high, bounce_rate_low, bounce_rate_high,
--          complaint_rate_low, complaint_rate_high   95% score intervals
-- Rule     A rate is null where its denominator is 0.
-- Source   message_facts; intervals: sql/macros/wilson.sql

WITH counted AS (
    SELECT
        run_id, campaign, channel, recipient_domain,
        count(*) AS accepted,
        count(*) FILTER (delivery IN ('delivered', 'read')) AS delivered,
        count(bounced_at) AS bounced,
        count(*) FILTER (bounce_class = 'hard') AS hard_bounced,
        count(*) FILTER (bounce_class = 'soft') AS soft_bounced,
        count(*) FILTER (delivery IN ('failed', 'cancelled')) AS failed_later,
        count(complained_at) AS complained,
        count(unsubscribed_at) AS unsubscribed,
        count(opened_at) AS opened,
        count(machine_opened_at) AS machine_opened,
        count(clicked_at) AS clicked
    FROM facts
    WHERE status = 'planned' AND accepted
    GROUP BY ALL
)

SELECT
    *,
    delivered / nullif(accepted, 0) AS delivery_rate,
    bounced / nullif(accepted, 0) AS bounce_rate,
    complained / nullif(delivered, 0) AS complaint_rate,
    opened / nullif(delivered, 0) AS open_rate,
    wilson_low(delivered, accepted) AS delivery_rate_low,
    wilson_high(delivered, accepted) AS delivery_rate_high,
    wilson_low(bounced, accepted) AS bounce_rate_low,
    wilson_high(bounced, accepted) AS bounce_rate_high,
    wilson_low(complained, delivered) AS complaint_rate_low,
    wilson_high(complained, delivered) AS complaint_rate_high
FROM counted
ORDER BY run_id, channel, accepted DESC, recipient_domain
