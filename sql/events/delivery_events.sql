-- delivery_events: the events of one day (UTC), each once, and whether a human or a machine did it.
--
-- Inputs   received  lake received_events: files of the day and of the day before (columns normalise.RECEIVED)
--          agents    user_agent: those of machines
--          networks  network: those of machines
-- Params   $day: the day; $reach: seconds before midnight that rules look back, and $fast_open, $fast_click, $links,
--          $within, see events/machines.py
-- Grain    one row per event_id: of several copies the one that was received first
-- Output   columns of days.DELIVERY, sorted by occurred_at and event_id. machine_reason, for opens and clicks only:
--          provider    the provider says so            prefetch  it says so itself (our own redirect)
--          user_agent  of a crawler or scanner         network   of an operator of scanners
--          too_fast    within seconds of the delivery  all_links many links of the message within seconds
--          null: a human; the first that fits counts, in this order
-- Rule     A function of the rows alone: whatever their order, and however often and late they came.
-- Source   docs/machines.md

WITH near AS (
    SELECT *
    FROM received
    WHERE occurred_at >= $day::DATE - INTERVAL 1 DAY AND occurred_at < $day::DATE + INTERVAL 1 DAY
        AND (
            occurred_at >= $day::DATE
            OR (occurred_at = received_at AND provider <> 'own')  -- dated by arrival: a copy may be of the next day
            OR (type IN ('delivered', 'clicked') AND occurred_at >= $day::DATE - to_seconds($reach))
        )
),

repeated AS (
    SELECT event_id FROM near GROUP BY event_id HAVING count(*) > 1
),

events AS (
    SELECT * FROM near ANTI JOIN repeated USING (event_id)
    UNION ALL BY NAME
    SELECT * FROM near SEMI JOIN repeated USING (event_id)
    QUALIFY row_number() OVER (
        PARTITION BY event_id
        ORDER BY received_at, run_id, message_id, provider, channel, type, occurred_at, provider_id, reason, url,
            machine, raw_type, user_agent, network
    ) = 1
),

deliveries AS (
    SELECT run_id, message_id, min(occurred_at) AS delivered_at
    FROM events
    WHERE type = 'delivered' AND message_id <> ''
    GROUP BY run_id, message_id
),

clicks AS (
    SELECT run_id, message_id, event_id, url, occurred_at
    FROM events
    WHERE type = 'clicked' AND message_id <> '' AND url IS NOT NULL
),

many AS (
    SELECT run_id, message_id FROM clicks GROUP BY run_id, message_id HAVING count(DISTINCT url) >= $links
),

bursts AS (
    SELECT
        event_id,
        count(DISTINCT url) OVER (
            PARTITION BY run_id, message_id
            ORDER BY occurred_at
            RANGE BETWEEN to_seconds($within) PRECEDING AND to_seconds($within) FOLLOWING
        ) AS links
    FROM clicks
    SEMI JOIN many USING (run_id, message_id)
),

readers AS (
    SELECT
        events.*,
        CASE
            WHEN machine AND provider = 'own' THEN 'prefetch'
            WHEN machine THEN 'provider'
            WHEN agents.user_agent IS NOT NULL THEN 'user_agent'
            WHEN networks.network IS NOT NULL THEN 'network'
            WHEN occurred_at >= delivered_at
                AND occurred_at < delivered_at + to_seconds(CASE type WHEN 'opened' THEN $fast_open ELSE $fast_click END)
            THEN 'too_fast'
            WHEN bursts.links >= $links THEN 'all_links'
        END AS machine_reason
    FROM events
    LEFT JOIN agents ON agents.user_agent = events.user_agent
    LEFT JOIN networks ON networks.network = events.network
    LEFT JOIN deliveries ON deliveries.run_id = events.run_id AND deliveries.message_id = events.message_id
    LEFT JOIN bursts ON bursts.event_id = events.event_id
    WHERE type IN ('opened', 'clicked') AND occurred_at >= $day::DATE
),

classed AS (
    SELECT * FROM readers
    UNION ALL BY NAME
    SELECT *, NULL AS machine_reason FROM events
    WHERE type NOT IN ('opened', 'clicked') AND occurred_at >= $day::DATE
)

SELECT
    event_id,
    run_id,
    message_id,
    provider,
    channel,
    type,
    occurred_at,
    received_at,
    provider_id,
    reason,
    url,
    machine_reason IS NOT NULL AS machine,
    raw_type,
    machine_reason
FROM classed
ORDER BY occurred_at, event_id
