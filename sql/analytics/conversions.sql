-- conversions: what contacts of one run did within its window, and what of it is credited to the run.
--
-- Inputs   counted      conversion_events of the run
--          attribution  of these events
-- Params   $run_id, $campaign, $channel
-- Grain    run x conversion event of a contact that was planned or held out
-- Output   run_id, campaign, channel, contact_id
--          variant, status  as frozen; no variant: held out
--          event_id, converted_at  the behavioural event and when it happened
--          value            its value, to six decimals; null: there is none, or it is no number
--          last_touch_at    the run's last touch before; null: it did not touch the contact before
--          credit           the run's share of the conversion, by the model; 0 where it did not touch
-- Rule     Windows of several runs may hold one event: it is there once for each of them. Comparing arms by assignment
--          counts rows; adding up over runs takes credit, which is 1 or 0 over all runs.
-- Source   conversion_events, attribution

SELECT
    $run_id AS run_id,
    $campaign AS campaign,
    $channel AS channel,
    counted.contact_id,
    counted.variant,
    counted.status,
    counted.event_id,
    counted.converted_at,
    counted.value,
    attribution.last_touch_at,
    coalesce(attribution.credit, 0) AS credit
FROM counted
LEFT JOIN attribution ON attribution.event_id = counted.event_id AND attribution.run_id = $run_id
ORDER BY counted.contact_id, counted.converted_at, counted.event_id
