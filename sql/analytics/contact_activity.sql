-- contact_activity: what contacts did with messages on one day, hour by hour.
--
-- Inputs   events    lake delivery_events/<day>: run_id, message_id, channel, type, occurred_at, machine
--          messages  lake messages of the runs of that day: run_id, message_id, contact_id
-- Params   $day
-- Grain    day x hour (UTC) x run x channel x contact
-- Output   day, run_id, channel, contact_id
--          hour          0 to 23, of the event
--          delivered     messages that were delivered or read
--          opened, clicked, replied   events of humans
--          bounced, unsubscribed, complained   events
-- Rule     Events of messages that are not in the lake are in no row. What machines did is left out.
-- Source   delivery_events

SELECT
    $day::DATE AS "day",
    events.run_id,
    events.channel,
    messages.contact_id,
    extract(hour FROM events.occurred_at) AS "hour",
    count(DISTINCT events.message_id) FILTER (type IN ('delivered', 'read')) AS delivered,
    count(*) FILTER (type = 'opened') AS opened,
    count(*) FILTER (type = 'clicked') AS clicked,
    count(*) FILTER (type = 'replied') AS replied,
    count(*) FILTER (type = 'undelivered') AS bounced,
    count(*) FILTER (type = 'unsubscribed') AS unsubscribed,
    count(*) FILTER (type = 'complained') AS complained
FROM events
JOIN messages ON messages.run_id = events.run_id AND messages.message_id = events.message_id
WHERE NOT machine
    AND type IN ('delivered', 'read', 'opened', 'clicked', 'replied', 'undelivered', 'unsubscribed', 'complained')
GROUP BY ALL
ORDER BY messages.contact_id, "hour", events.run_id, events.channel
