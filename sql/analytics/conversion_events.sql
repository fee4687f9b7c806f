-- conversion_events: what contacts of one run did within its window, before anybody gets credit for it.
--
-- Inputs   starts     contact_id, variant, status, started_at of the run's planned and held-out contacts
--          behaviour  lake behaviour: event_id, contact_id, event, occurred_at, properties
-- Params   $event, $value (JSON pointer; null: no value), $within (microseconds), $first, $last (bounds of all windows)
-- Grain    run x contact x conversion event, from the contact's start (inclusive) to the end of its window (exclusive)
-- Output   event_id, contact_id, variant, status
--          converted_at  when it happened
--          value         the property, to six decimals; null: there is none, or it is no number
-- Source   setting `conversion` of the campaign; numbers as segments read them

SELECT
    behaviour.event_id,
    starts.contact_id,
    starts.variant,
    starts.status,
    behaviour.occurred_at AS converted_at,
    try_cast(json_extract(behaviour.properties, $value::VARCHAR)::VARCHAR AS DECIMAL(24, 6))::DOUBLE AS value
FROM behaviour
JOIN starts ON starts.contact_id = behaviour.contact_id
WHERE behaviour.event = $event
    AND behaviour.occurred_at >= $first
    AND behaviour.occurred_at < $last
    AND behaviour.occurred_at >= starts.started_at
    AND behaviour.occurred_at < starts.started_at + to_microseconds($within)
ORDER BY starts.contact_id, behaviour.occurred_at, behaviour.event_id
