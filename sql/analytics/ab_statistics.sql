-- ab_statistics: sufficient statistics of an experiment. The tests see these, never rows.
--
-- Inputs   units     one row per unit: variant, then one column per metric (boolean or number, null: not known)
-- Grain    metric x variant
-- Output   metric, variant
--          n         units whose value is known
--          mean      null when n = 0
--          variance  of the sample, with n - 1; null when n < 2
-- Source   textbook; DuckDB's var_samp is Welford's method

WITH numbers AS (
    SELECT variant, COLUMNS(* EXCLUDE (variant))::DOUBLE FROM units
)

SELECT metric, variant, count(*) AS n, avg(value) AS mean, var_samp(value) AS variance
FROM (UNPIVOT numbers ON COLUMNS(* EXCLUDE (variant)) INTO NAME metric VALUE value)
GROUP BY metric, variant
ORDER BY metric, variant
