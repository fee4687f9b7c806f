-- ab_sizes: how many units each variant has, for the sample-ratio check.
--
-- Inputs   units     one row per unit: variant, and whatever else
-- Grain    variant
-- Output   variant
--          units     whether or not any metric of theirs is known
-- Source   textbook

SELECT variant, count(*) AS units
FROM units
GROUP BY variant
ORDER BY variant
