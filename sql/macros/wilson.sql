-- wilson_low, wilson_high: the 95% score interval of a proportion of k in n.
--
-- Rule     Null where there is no proportion: n = 0, or k above n (a provider lost the events of the denominator).
-- Source   Wilson (1927); Brown, Cai, DasGupta, Interval Estimation for a Binomial Proportion (2001), without
--          continuity correction; 3.8414588206941236 is the square of the 97.5% quantile of the standard normal

CREATE MACRO wilson_low(k, n) AS CASE WHEN n > 0 AND k BETWEEN 0 AND n THEN greatest(0, (
    (k + 1.9207294103470618) / n - sqrt(3.8414588206941236 * (k * (n - k) / n + 0.9603647051735309)) / n
) / (1 + 3.8414588206941236 / n)) END;

CREATE MACRO wilson_high(k, n) AS CASE WHEN n > 0 AND k BETWEEN 0 AND n THEN least(1, (
    (k + 1.9207294103470618) / n + sqrt(3.8414588206941236 * (k * (n - k) / n + 0.9603647051735309)) / n
) / (1 + 3.8414588206941236 / n)) END;
