-- delivery_errors: why messages of a run were not delivered, by class and code.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x channel x error_class x error_code
-- Output   run_id, campaign, channel
--          error_class, error_code   as in message_facts
--          messages   that came to this
--          of_planned   their share of the messages that were to be sent on the channel
-- Source   message_facts

SELECT
    run_id, campaign, channel, error_class, error_code,
    count(*) AS messages,
    count(*) / any_value(planned) AS of_planned
FROM (SELECT *, count(*) OVER (PARTITION BY channel) AS planned FROM facts WHERE status = 'planned') AS facts
WHERE error_class IS NOT NULL
GROUP BY run_id, campaign, channel, error_class, error_code
ORDER BY run_id, channel, messages DESC, error_class, error_code
