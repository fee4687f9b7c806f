-- message_facts: what became of every contact of one run's audience.
--
-- Inputs   audience  lake audience/<run>: contact_id, status, reason, variant, send_at (nothing personal is read)
--          messages  lake messages/<run>: message_no, message_id, contact_id, channel, step, locale, sms_parts;
--                    recipient_domain, cost: of their addresses, which are not among them
--          states    the ledger: message_no, state, code, recorded_at (newest state of each message)
--          events    lake delivery_events of the run: event_id, run_id, message_id, type, occurred_at, reason, machine
--          conversions  lake conversions/<run>: contact_id, event_id, converted_at, value, credit
-- Params   $run_id, $campaign, $channel, $converts (whether the campaign counts conversions)
-- Grain    one row per contact of the run's audience
-- Output   run_id, campaign, channel, contact_id, variant, status, reason  as frozen
--          message_id, send_at    null: there is no message
--          outcome, code          the ledger's newest state; 'planned': nothing was tried yet; null: was not to be sent
--          accepted, accepted_at  the provider took it, and when that was recorded
--          delivery               delivery event of the highest rank, see below; null: none came
--          delivered_at, read_at, bounced_at, failed_at   first event of the kind; read implies delivered
--          bounce_class           of the first bounce: hard, soft ...; the class of the event's reason class:code
--          opened_at, clicked_at                   first by a human
--          machine_opened_at, machine_clicked_at   first by a machine
--          replied_at, unsubscribed_at, complained_at     first
--          opens, clicks, machine_opens, machine_clicks   events; 0 when none came
--          step               0: on the campaign's own channel; 1, 2 ...: on a fallback; null: there is no message
--          locale             language of the message
--          recipient_domain   of the e-mail address, where at least 10 messages of the run went to it, else 'other';
--                             null: no e-mail
--          sms_parts          parts of an SMS; null: none
--          error_class, error_code   why it was not delivered: class and code of the first bounce or failure, or
--                             'rejected' and the provider's code where it did not take the message; null: no error
--          cost               of a message that was accepted, by the team's prices; null: no price is known, or none
--                             is due
--          converted_at       first conversion within the campaign's window
--          conversions        their number, whatever touched the contact; null: none are counted, because the campaign
--                             has no such setting, or the contact was neither planned nor held out
--          revenue            sum of their values, to six decimals
--          attributed_conversions, attributed_revenue   the same, each times the run's credit
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
        min_by(reason, (occurred_at, event_id)) FILTER (type IN ('undelivered', 'failed')) AS error,
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

converted AS (
    SELECT
        contact_id,
        min(converted_at) AS converted_at,
        count(*) AS conversions,
        coalesce(sum(value::DECIMAL(24, 6)), 0)::DOUBLE AS revenue,
        sum(credit ORDER BY event_id) AS attributed_conversions,
        coalesce(sum(credit * value ORDER BY event_id), 0) AS attributed_revenue
    FROM conversions
    GROUP BY contact_id
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
    folded.* EXCLUDE (message_id, error, opens, clicks, machine_opens, machine_clicks),
    coalesce(folded.opens, 0) AS opens,
    coalesce(folded.clicks, 0) AS clicks,
    coalesce(folded.machine_opens, 0) AS machine_opens,
    coalesce(folded.machine_clicks, 0) AS machine_clicks,
    counting.step,
    counting.locale,
    counting.recipient_domain,
    counting.sms_parts,
    CASE
        WHEN folded.error IS NOT NULL THEN coalesce(nullif(split_part(folded.error, ':', 1), ''), 'unknown')
        WHEN states.state = 'rejected' THEN 'rejected'
    END AS error_class,
    CASE
        WHEN folded.error IS NOT NULL THEN split_part(folded.error, ':', 2)
        WHEN states.state = 'rejected' THEN coalesce(states.code, '')
    END AS error_code,
    CASE WHEN states.state = 'accepted' THEN counting.cost END AS cost,
    converted.converted_at,
    CASE WHEN counts THEN coalesce(converted.conversions, 0) END AS conversions,
    CASE WHEN counts THEN coalesce(converted.revenue, 0) END AS revenue,
    CASE WHEN counts THEN coalesce(converted.attributed_conversions, 0) END AS attributed_conversions,
    CASE WHEN counts THEN coalesce(converted.attributed_revenue, 0) END AS attributed_revenue
FROM (
    SELECT *, $converts AND status IN ('planned', 'held_out', 'held_out_globally') AS counts FROM audience
) AS audience
LEFT JOIN counting ON counting.contact_id = audience.contact_id
LEFT JOIN states ON states.message_no = counting.message_no
LEFT JOIN folded ON folded.message_id = counting.message_id
LEFT JOIN converted ON converted.contact_id = audience.contact_id
ORDER BY audience.contact_id
