-- replies: what contacts answered to the messages of a run, by the class of its keyword.
--
-- Inputs   facts     message_facts of one run
--          events    lake delivery_events of the run: message_id, type, raw_type, reason
-- Params   $run_id
-- Grain    run x variant x channel x keyword
-- Output   run_id, campaign, channel, variant
--          keyword   stop, start, help, or other: any other text
--          replies   inbound messages of the class
--          contacts  who sent them
-- Rule     The text of a reply is not kept: what it was is told by its class alone.
-- Source   keywords as Twilio has them; events/providers/twilio.py

SELECT
    facts.run_id, facts.campaign, facts.channel, facts.variant,
    coalesce(nullif(events.reason, ''), 'other') AS keyword,
    count(*) AS replies,
    count(DISTINCT facts.contact_id) AS contacts
FROM events
JOIN facts ON facts.message_id = events.message_id
WHERE events.run_id = $run_id AND events.raw_type = 'inbound'
GROUP BY ALL
ORDER BY facts.run_id, facts.channel, facts.variant, keyword
