-- system_metrics: how long each stage of a run took, how much went through it, and what it cost.
--
-- Inputs   times     stage, started_at, finished_at, items: of the stages that are recorded
--          facts     message_facts of one run
--          events    lake delivery_events of the run: occurred_at, received_at
-- Params   $run_id, $campaign, $channel
-- Grain    run x stage; a stage that has not begun has no row
-- Output   run_id, campaign, channel
--          stage        audience: freezing it; messages: rendering them; prepare: from the request to the plan;
--                       dispatch: from the first claim to the newest outcome; delivery: from the first message that
--                       was accepted to the newest that was delivered; events: from the first event to the arrival of
--                       the last one
--          started_at, finished_at   when
--          seconds      between them
--          items        contacts, messages, or events that went through
--          per_second   items / seconds; null for no time at all
--          cost         of the messages that were accepted, for dispatch; null: no price is known
-- Rule     Audience and messages are as they were last frozen and rendered. Of stages with pauses (a local send time, a
--          wave, an operator's hold) the time includes them.
-- Source   stage_times, runs, plans, claims and outcomes of the operational database; message_facts

WITH stages AS (
    SELECT stage, started_at, finished_at, items FROM times
    UNION ALL
    SELECT 'delivery', min(accepted_at), max(delivered_at), count(delivered_at) FROM facts WHERE accepted
    UNION ALL
    SELECT 'events', min(occurred_at), max(received_at), count(*) FROM events WHERE run_id = $run_id
),

timed AS (
    SELECT *, greatest(0, epoch_us(finished_at) - epoch_us(started_at)) / 1e6 AS seconds
    FROM stages
    WHERE started_at IS NOT NULL AND finished_at IS NOT NULL
)

SELECT
    $run_id AS run_id,
    $campaign AS campaign,
    $channel AS channel,
    stage, started_at, finished_at, seconds, items,
    items / nullif(seconds, 0) AS per_second,
    CASE WHEN stage = 'dispatch' THEN (SELECT sum(cost::DECIMAL(24, 8))::DOUBLE FROM facts) END AS cost
FROM timed
ORDER BY started_at, stage
