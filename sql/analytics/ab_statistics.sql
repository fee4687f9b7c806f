-- ab_statistics: sufficient statistics of one metric of an experiment. The tests see these, never rows.
--
-- Inputs   units     one row per unit: variant, value, denominator, covariate (numbers; null: not known, or there is none)
-- Params   $cap      larger values count as this one (winsorising); null: no cap
-- Grain    variant
-- Output   variant
--          n                       units whose value is known
--          mean, variance          of the value; variances and covariances are of the sample, with n - 1, null when n < 2
--          denominator_mean, denominator_variance, denominator_covariance   of ratios; the covariance is with the value
--          covariate_mean, covariate_variance, covariate_covariance         of what was known before the start (CUPED)
-- Source   textbook; DuckDB's var_samp and covar_samp are Welford's method

SELECT
    variant,
    count(*) AS n,
    avg(value) AS mean,
    var_samp(value) AS variance,
    avg(denominator) AS denominator_mean,
    var_samp(denominator) AS denominator_variance,
    covar_samp(value, denominator) AS denominator_covariance,
    avg(covariate) AS covariate_mean,
    var_samp(covariate) AS covariate_variance,
    covar_samp(value, covariate) AS covariate_covariance
FROM (SELECT variant, least(value, $cap::DOUBLE) AS value, denominator, covariate FROM units WHERE value IS NOT NULL)
GROUP BY variant
ORDER BY variant
