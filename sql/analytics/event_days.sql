-- event_days: how many events of each kind there were on one day, by run.
--
-- Inputs   events  lake delivery_events/<day>
-- Params   $day
-- Grain    day x run x channel x type x machine
-- Output   day        UTC day on which they happened
--          run_id     empty: nobody knows of which run they are
--          channel, type, machine
--          events     their number
-- Rule     Also the index by which a run finds its days: whoever asks for a run reads these days alone.
-- Source   delivery_events

SELECT $day::DATE AS "day", run_id, channel, type, machine, count(*) AS events
FROM events
GROUP BY ALL
ORDER BY run_id, channel, type, machine
