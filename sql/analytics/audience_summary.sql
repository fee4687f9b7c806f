-- audience_summary: how the audience of a run came about, and why contacts were left out.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x status x reason
-- Output   run_id, campaign, channel, status, reason
--          contacts  their number; over all rows of a run: everyone in the segment at the freeze
-- Source   audience statuses of core/words.py AudienceStatus

SELECT run_id, campaign, channel, status, reason, count(*) AS contacts
FROM facts
GROUP BY ALL
ORDER BY run_id, contacts DESC, status, reason
