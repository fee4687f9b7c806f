-- message_facts: what became of every contact of one run's audience.
--
-- Inputs   audience  lake audience/<run>: contact_id, status, reason, variant, send_at (nothing personal is read)
--          messages  lake messages/<run>: message_no, message_id, contact_id, channel, step
--          states    the ledger: message_no, state, code, recorded_at (newest state of each message)
--          events    lake delivery_events, deduplicated: event_id, run_id, message_id, type, occurred_at, reason, machine
-- Params   $run_id, $campaign, $channel
-- Grain    one row per contact of the run's audience
-- Output   run_id, campaign, channel, contact_id, variant, status, reason  as frozen
--          message_id, send_at    null: there is no message
--          outcome, code          the ledger's newest state; 'planned': nothing was tried yet; null: was not to be sent
--          accepted, accepted_at  the provider took it, and when that was recorded
--          delivery               delivery event of the highest rank, see below; null: none came
--          delivered_at, read_at, bounced_at, failed_at   first event of the kind; read implies delivered
--          bounce_class           of the first bounce: hard, soft ...; the class of the event's reason class:code
--          opened_at, clicked_at  first by a human; machine_opened_at, machine_clicked_at: first by a machine
--          replied_at, unsubscribed_at, complained_at     first
--          opens, clicks, machine_opens, machine_clicks   events; 0 when none came
-- Rule     Events are folded by rank and by minimum, never by order of arrival: any order gives this same table.
--          A bounce outranks a delivery, because mailbox providers accept first and bounce later.
--          Of several messages to a contact (a fallback channel was called for) the last one that was called for counts.
-- Source   event life cycle of core/words.py EventType (SendGrid event webhook, Twilio message status)

WITH folded AS (
    SELECT
        message_id,
        max_by(type, CASE type
            WHEN 'scheduled' THEN 1
            WHEN 'queued' THEN 2
            WHEN 'deferred' THEN 3
            WHEN 'sent' THEN 4
            WHEN 'cancelled' THEN 5
            WHEN 'failed' THEN 6
            WHEN 'delivered' THEN 7
            WHEN 'read' THEN 8
            WHEN 'undelivered' THEN 9
        END) AS delivery,
        min(occurred_at) FILTER (type IN ('delivered', 'read')) AS delivered_at,
        min(occurred_at) FILTER (type = 'read') AS read_at,
        min(occurred_at) FILTER (type = 'undelivered') AS bounced_at,
        split_part(min_by(reason, (occurred_at, event_id)) FILTER (type = 'undelivered'), ':', 1) AS bounce_class,
        min(occurred_at) FILTER (type IN ('failed', 'cancelled')) AS failed_at,
        min(occurred_at) FILTER (type = 'opened' AND NOT machine) AS opened_at,
        min(occurred_at) FILTER (type = 'opened' AND machine) AS machine_opened_at,
        min(occurred_at) FILTER (type = 'clicked' AND NOT machine) AS clicked_at,
        min(occurred_at) FILTER (type = 'clicked' AND machine) AS machine_clicked_at,
        min(occurred_at) FILTER (type = 'replied') AS replied_at,
        min(occurred_at) FILTER (type = 'unsubscribed') AS unsubscribed_at,
        min(occurred_at) FILTER (type = 'complained') AS complained_at,
        count(*) FILTER (type = 'opened' AND NOT machine) AS opens,
        count(*) FILTER (type = 'clicked' AND NOT machine) AS clicks,
        count(*) FILTER (type = 'opened' AND machine) AS machine_opens,
        count(*) FILTER (type = 'clicked' AND machine) AS machine_clicks
    FROM events
    WHERE run_id = $run_id AND message_id IS NOT NULL
    GROUP BY message_id
),

counting AS (
    SELECT messages.*
    FROM messages
    LEFT JOIN states ON states.message_no = messages.message_no
    WHERE messages.step = 0 OR states.state NOT IN ('standby', 'not_needed')
    QUALIFY row_number() OVER (PARTITION BY messages.contact_id ORDER BY messages.step DESC) = 1
)

SELECT
    $run_id AS run_id,
    $campaign AS campaign,
    coalesce(counting.channel, $channel) AS channel,
    audience.contact_id,
    audience.variant,
    audience.status,
    audience.reason,
    counting.message_id,
    audience.send_at,
    CASE WHEN audience.status = 'planned' THEN coalesce(states.state, 'planned') END AS outcome,
    coalesce(states.code, '') AS code,
    coalesce(states.state = 'accepted', false) AS accepted,
    CASE WHEN states.state = 'accepted' THEN states.recorded_at END AS accepted_at,
    folded.* EXCLUDE (message_id, opens, clicks, machine_opens, machine_clicks),
    coalesce(folded.opens, 0) AS opens,
    coalesce(folded.clicks, 0) AS clicks,
    coalesce(folded.machine_opens, 0) AS machine_opens,
    coalesce(folded.machine_clicks, 0) AS machine_clicks
FROM audience
LEFT JOIN counting ON counting.contact_id = audience.contact_id
LEFT JOIN states ON states.message_no = counting.message_no
LEFT JOIN folded ON folded.message_id = counting.message_id
ORDER BY audience.contact_id
