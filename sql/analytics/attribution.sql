-- attribution: how conversions are shared among the runs whose messages touched the contact before.
--
-- Inputs   conversions  conversion_events of one run: event_id, contact_id, converted_at
--          touches      lake touches of all runs that count the same event and may have touched by then
--          settings     run_id, within (microseconds), model (last_touch, first_touch, linear) of these runs
-- Grain    conversion event x run that touched
-- Output   event_id, run_id
--          last_touch_at  the run's last touch before the conversion
--          credit         the run's share
-- Rule     A message that touched is one touch point, however often it was clicked. Only touches up to the conversion
--          count, of runs whose own window holds it. The model is that of the run that touched last, so that the
--          credits of one conversion add up to 1 over all runs, or there is none because nothing touched.
-- Source   single-touch and linear models as in web analytics (Google Analytics, Adobe); docs/analytics.md

WITH points AS (
    SELECT
        conversions.event_id,
        touches.run_id,
        touches.message_id,
        settings.model,
        min(touches.touched_at) AS first_at,
        max(touches.touched_at) AS last_at
    FROM conversions
    JOIN touches ON touches.contact_id = conversions.contact_id AND touches.touched_at <= conversions.converted_at
    JOIN settings ON settings.run_id = touches.run_id
    WHERE touches.started_at <= conversions.converted_at
        AND conversions.converted_at < touches.started_at + to_microseconds(settings.within)
    GROUP BY ALL
),

ranked AS (
    SELECT
        *,
        row_number() OVER newest AS from_last,
        row_number() OVER (PARTITION BY event_id ORDER BY first_at, run_id, message_id) AS from_first,
        count(*) OVER (PARTITION BY event_id) AS sharing,
        first_value(model) OVER newest AS counting
    FROM points
    WINDOW newest AS (PARTITION BY event_id ORDER BY last_at DESC, run_id, message_id)
)

SELECT
    event_id,
    run_id,
    max(last_at) AS last_touch_at,
    CASE any_value(counting)
        WHEN 'last_touch' THEN count(*) FILTER (from_last = 1)
        WHEN 'first_touch' THEN count(*) FILTER (from_first = 1)
        ELSE count(*) / any_value(sharing)
    END::DOUBLE AS credit
FROM ranked
GROUP BY event_id, run_id
ORDER BY event_id, run_id
