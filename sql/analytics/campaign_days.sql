-- campaign_days: what happened to a run's messages, day by day.
--
-- Inputs   facts        message_facts of one run
--          conversions  lake conversions/<run>: contact_id, event_id, converted_at, value, credit
-- Grain    run x variant x channel x day (UTC day of the event); a day on which nothing happened first has no row
-- Output   run_id, campaign, channel, variant, day
--          accepted, delivered, read, bounced, failed_later, opened, clicked, replied, unsubscribed, complained,
--          machine_opened, machine_clicked, converted
--                    contacts whose FIRST event of the kind fell on that day, so that a running sum over days
--                    counts each contact once; converted is null where the campaign counts no conversions
--          conversions, revenue   of the day, the first or not, to six decimals; null: as converted
--          attributed_conversions, attributed_revenue   of them, what is credited to the run
--          cost      of the messages that were accepted on the day; null: none, or no price is known
-- Rule     A message delivered on one day and bounced on another counts on both, each with its own event:
--          the sum of `delivered` here less such bounces is `delivered` of campaign_metrics.
-- Source   message_facts

WITH firsts AS (
    UNPIVOT (
        SELECT
            run_id, campaign, channel, variant,
            accepted_at, delivered_at, read_at, bounced_at, failed_at, opened_at, clicked_at, replied_at,
            unsubscribed_at, complained_at, machine_opened_at, machine_clicked_at, converted_at
        FROM facts
        WHERE status = 'planned'
    )
    ON COLUMNS(* EXCLUDE (run_id, campaign, channel, variant))
    INTO NAME kind VALUE happened_at
),

counted AS (
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
        count(*) FILTER (kind = 'machine_clicked_at') AS machine_clicked,
        count(*) FILTER (kind = 'converted_at') AS converted
    FROM firsts
    GROUP BY ALL
),

earned AS (
    SELECT
        facts.run_id, facts.campaign, facts.channel, facts.variant, conversions.converted_at::DATE AS "day",
        count(*) AS conversions,
        coalesce(sum(conversions.value::DECIMAL(24, 6)), 0)::DOUBLE AS revenue,
        sum(credit ORDER BY event_id) AS attributed_conversions,
        coalesce(sum(credit * value ORDER BY event_id), 0) AS attributed_revenue
    FROM conversions
    JOIN facts ON facts.contact_id = conversions.contact_id
    WHERE facts.status = 'planned'
    GROUP BY ALL
),

spent AS (
    SELECT channel, variant, accepted_at::DATE AS "day", sum(cost::DECIMAL(24, 8))::DOUBLE AS cost
    FROM facts
    WHERE status = 'planned' AND accepted_at IS NOT NULL
    GROUP BY ALL
),

days AS (
    SELECT run_id, campaign, channel, variant, "day" FROM counted
    UNION
    SELECT run_id, campaign, channel, variant, "day" FROM earned
)

SELECT
    days.*,
    coalesce(counted.accepted, 0) AS accepted,
    coalesce(counted.delivered, 0) AS delivered,
    coalesce(counted.read, 0) AS read,
    coalesce(counted.bounced, 0) AS bounced,
    coalesce(counted.failed_later, 0) AS failed_later,
    coalesce(counted.opened, 0) AS opened,
    coalesce(counted.clicked, 0) AS clicked,
    coalesce(counted.replied, 0) AS replied,
    coalesce(counted.unsubscribed, 0) AS unsubscribed,
    coalesce(counted.complained, 0) AS complained,
    coalesce(counted.machine_opened, 0) AS machine_opened,
    coalesce(counted.machine_clicked, 0) AS machine_clicked,
    CASE WHEN converts.yes THEN coalesce(counted.converted, 0) END AS converted,
    CASE WHEN converts.yes THEN coalesce(earned.conversions, 0) END AS conversions,
    CASE WHEN converts.yes THEN coalesce(earned.revenue, 0) END AS revenue,
    CASE WHEN converts.yes THEN coalesce(earned.attributed_conversions, 0) END AS attributed_conversions,
    CASE WHEN converts.yes THEN coalesce(earned.attributed_revenue, 0) END AS attributed_revenue,
    spent.cost
FROM days
CROSS JOIN (SELECT count(conversions) > 0 AS yes FROM facts) AS converts
LEFT JOIN counted USING (channel, variant, "day")
LEFT JOIN earned USING (channel, variant, "day")
LEFT JOIN spent USING (channel, variant, "day")
ORDER BY days.run_id, days.variant, days.channel, days."day"
