-- touches: when the messages of one run touched their contacts, as its campaign understands a touch.
--
-- Inputs   starts    contact_id, started_at of the run's planned and held-out contacts
--          messages  lake messages/<run>: message_no, message_id, contact_id
--          states    the ledger: message_no, state, recorded_at (newest state of each message)
--          events    lake delivery_events of the run: message_id, type, occurred_at, machine
-- Params   $run_id, $touch (sent, delivered, opened, clicked)
-- Grain    run x message x moment at which it touched
-- Output   run_id, contact_id, message_id
--          started_at  from when the contact's conversions count for the run
--          touched_at  moment of the touch
-- Rule     What machines opened and clicked touched nobody. A read receipt is a delivery.
-- Source   setting `conversion.touch` of the campaign; docs/analytics.md

WITH moments AS (
    SELECT message_id, occurred_at AS touched_at
    FROM events
    WHERE run_id = $run_id AND CASE $touch
        WHEN 'delivered' THEN type IN ('delivered', 'read')
        WHEN 'opened' THEN type = 'opened' AND NOT machine
        WHEN 'clicked' THEN type = 'clicked' AND NOT machine
        ELSE false
    END
    UNION
    SELECT messages.message_id, states.recorded_at
    FROM messages
    JOIN states ON states.message_no = messages.message_no
    WHERE $touch = 'sent' AND states.state = 'accepted'
)

SELECT
    $run_id AS run_id,
    messages.contact_id,
    messages.message_id,
    starts.started_at,
    moments.touched_at
FROM moments
JOIN messages ON messages.message_id = moments.message_id
JOIN starts ON starts.contact_id = messages.contact_id
ORDER BY messages.contact_id, moments.touched_at, messages.message_id
