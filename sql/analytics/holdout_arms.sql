-- holdout_arms: conversions of those who were sent to and of those who were deliberately not, as sufficient statistics.
--
-- Inputs   facts     message_facts of one run
-- Grain    metric x status
-- Output   metric    converted (0 or 1), conversions, revenue, per contact
--          status    planned, held_out, held_out_globally
--          n         contacts
--          mean, variance   of the sample, with n - 1; variance is null when n < 2
--          total     sum over the contacts
-- Source   textbook; analysis by assignment: all planned count, sent or not

WITH units AS (
    SELECT
        status, contact_id,
        (conversions > 0)::INTEGER::DOUBLE AS converted,
        conversions::DOUBLE AS conversions,
        revenue
    FROM facts
    WHERE status IN ('planned', 'held_out', 'held_out_globally') AND conversions IS NOT NULL
)

SELECT metric, status, count(*) AS n, avg(value) AS mean, var_samp(value) AS variance, sum(value) AS total
FROM (UNPIVOT units ON converted, conversions, revenue INTO NAME metric VALUE value)
GROUP BY metric, status
ORDER BY metric, status
