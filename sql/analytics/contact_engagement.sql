-- contact_engagement: how each contact reacts to messages lately: recency, frequency, score, best hour.
--
-- Inputs   activity  lake contact_activity of the 365 days up to $as_of
-- Params   $as_of (the newest day of activity)
-- Grain    channel x contact that anything was delivered to, or that did anything, within 365 days
-- Output   channel, contact_id
--          as_of             the newest day that counts
--          delivered         messages within 365 days
--          opened, clicked, replied   events of humans within 365 days
--          last_delivered_on, last_engaged_on   newest day with a delivery; with an open, click or reply; null: none
--          recency           days from last_engaged_on to as_of; null: never engaged
--          frequency         days with an open, click or reply within 90 days
--          score             sum of 1 an open, 3 a click, 5 a reply, each halved every 30 days of age
--          best_hour         UTC hour (0 to 23) with most opens, clicks and replies, the earliest of equals; null: none
--          unsubscribed      whether the contact unsubscribed or complained within 365 days
-- Source   recency and frequency as in RFM (Hughes 1994); the half-life is ours

WITH daily AS (
    SELECT *, opened + clicked + replied AS engaged, date_diff('day', "day", $as_of::DATE) AS age
    FROM activity
    WHERE "day" BETWEEN $as_of::DATE - 364 AND $as_of::DATE
),

hours AS (
    SELECT channel, contact_id, "hour", sum(engaged) AS engaged
    FROM daily
    GROUP BY channel, contact_id, "hour"
    HAVING sum(engaged) > 0
    QUALIFY row_number() OVER (PARTITION BY channel, contact_id ORDER BY sum(engaged) DESC, "hour") = 1
)

SELECT
    daily.channel,
    daily.contact_id,
    $as_of::DATE AS as_of,
    sum(daily.delivered) AS delivered,
    sum(daily.opened) AS opened,
    sum(daily.clicked) AS clicked,
    sum(daily.replied) AS replied,
    max("day") FILTER (daily.delivered > 0) AS last_delivered_on,
    max("day") FILTER (daily.engaged > 0) AS last_engaged_on,
    min(age) FILTER (daily.engaged > 0) AS recency,
    count(DISTINCT "day") FILTER (daily.engaged > 0 AND age < 90) AS frequency,
    sum(
        (daily.opened + 3 * daily.clicked + 5 * daily.replied) * pow(0.5, age / 30)
        ORDER BY age, daily."hour", daily.run_id
    ) AS score,
    any_value(hours."hour") AS best_hour,
    bool_or(daily.unsubscribed + daily.complained > 0) AS unsubscribed
FROM daily
LEFT JOIN hours ON hours.channel = daily.channel AND hours.contact_id = daily.contact_id
GROUP BY daily.channel, daily.contact_id
ORDER BY daily.channel, daily.contact_id
