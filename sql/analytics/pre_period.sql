-- pre_period: what contacts of one run did in a window of the same length before their start.
--
-- Inputs   starts     contact_id, started_at of the run's planned and held-out contacts
--          behaviour  lake behaviour: contact_id, event, occurred_at, properties
-- Params   $run_id, $event, $value (JSON pointer; null: no value), $within (microseconds), $first, $last (bounds)
-- Grain    run x contact that was planned or held out
-- Output   run_id, contact_id
--          conversions  events before the start; 0: none
--          value        sum of their values, to six decimals; 0 without any
-- Source   the covariate of CUPED: Deng, Xu, Kohavi, Walker (2013)

WITH before AS (
    SELECT
        starts.contact_id,
        count(*) AS conversions,
        sum(try_cast(json_extract(properties, $value::VARCHAR)::VARCHAR AS DECIMAL(24, 6))) AS value
    FROM behaviour
    JOIN starts ON starts.contact_id = behaviour.contact_id
    WHERE behaviour.event = $event
        AND behaviour.occurred_at >= $first
        AND behaviour.occurred_at < $last
        AND behaviour.occurred_at < starts.started_at
        AND behaviour.occurred_at >= starts.started_at - to_microseconds($within)
    GROUP BY starts.contact_id
)

SELECT
    $run_id AS run_id,
    starts.contact_id,
    coalesce(before.conversions, 0) AS conversions,
    coalesce(before.value, 0)::DOUBLE AS value
FROM starts
LEFT JOIN before ON before.contact_id = starts.contact_id
ORDER BY starts.contact_id
