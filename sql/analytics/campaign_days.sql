-- campaign_days: what happened to a run's messages, day by day.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x variant x day (UTC day of the event); a day on which nothing happened first has no row
-- Output   run_id, campaign, channel, variant, day
--          accepted, delivered, read, bounced, failed_later, opened, clicked, replied, unsubscribed, complained,
--          machine_opened, machine_clicked
--                    contacts whose FIRST event of the kind fell on that day, so that a running sum over days
--                    counts each contact once
-- Rule     A message delivered on one day and bounced on another counts on both, each with its own event:
--          the sum of `delivered` here less such bounces is `delivered` of campaign_metrics.
-- Source   message_facts

WITH firsts AS (
    UNPIVOT (
        SELECT
            run_id, campaign, channel, variant,
            accepted_at, delivered_at, read_at, bounced_at, failed_at, opened_at, clicked_at, replied_at,
            unsubscribed_at, complained_at, machine_opened_at, machine_clicked_at
        FROM facts
        WHERE status = 'planned'
    )
    ON COLUMNS(* EXCLUDE (run_id, campaign, channel, variant))
    INTO NAME kind VALUE happened_at
)

SELECT
    run_id, campaign, channel, variant,
    happened_at::DATE AS "day",
    count(*) FILTER (kind = 'accepted_at') AS accepted,
    count(*) FILTER (kind = 'delivered_at') AS delivered,
    count(*) FILTER (kind = 'read_at') AS read,
    count(*) FILTER (kind = 'bounced_at') AS bounced,
    count(*) FILTER (kind = 'failed_at') AS failed_later,
    count(*) FILTER (kind = 'opened_at') AS opened,
    count(*) FILTER (kind = 'clicked_at') AS clicked,
    count(*) FILTER (kind = 'replied_at') AS replied,
    count(*) FILTER (kind = 'unsubscribed_at') AS unsubscribed,
    count(*) FILTER (kind = 'complained_at') AS complained,
    count(*) FILTER (kind = 'machine_opened_at') AS machine_opened,
    count(*) FILTER (kind = 'machine_clicked_at') AS machine_clicked
FROM firsts
GROUP BY ALL
ORDER BY run_id, variant, "day"
