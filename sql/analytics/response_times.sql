-- response_times: how soon contacts reacted to the messages of a run.
--
-- Inputs   facts     message_facts of one run
-- Grain    run x variant x channel x response; a response that nobody gave has no row
-- Output   run_id, campaign, channel, variant
--          response   delivered, read, opened, clicked, replied, unsubscribed, converted
--          contacts   with that response, of those whose message was accepted
--          p10, p25, median, p75, p90   seconds from accepted_at to the first response; between two: interpolated
--          within_5m, within_1h, within_6h, within_24h, within_72h   how many of `contacts` were so quick
-- Rule     Of humans only. A provider's clock may run ahead of ours: a response before accepted_at counts as 0 seconds.
-- Source   message_facts; quantiles by linear interpolation (Hyndman and Fan, type 7)

WITH responses AS (
    UNPIVOT (
        SELECT
            run_id, campaign, channel, variant, accepted_at,
            delivered_at AS delivered, read_at AS read, opened_at AS opened, clicked_at AS clicked,
            replied_at AS replied, unsubscribed_at AS unsubscribed, converted_at AS converted
        FROM facts
        WHERE status = 'planned' AND accepted_at IS NOT NULL
    )
    ON delivered, read, opened, clicked, replied, unsubscribed, converted
    INTO NAME response VALUE responded_at
),

waits AS (
    SELECT
        run_id, campaign, channel, variant, response,
        greatest(0, epoch_us(responded_at) - epoch_us(accepted_at)) / 1e6 AS seconds
    FROM responses
)

SELECT
    run_id, campaign, channel, variant, response,
    count(*) AS contacts,
    quantile_cont(seconds, 0.1) AS p10,
    quantile_cont(seconds, 0.25) AS p25,
    quantile_cont(seconds, 0.5) AS median,
    quantile_cont(seconds, 0.75) AS p75,
    quantile_cont(seconds, 0.9) AS p90,
    count(*) FILTER (seconds <= 300) AS within_5m,
    count(*) FILTER (seconds <= 3600) AS within_1h,
    count(*) FILTER (seconds <= 21600) AS within_6h,
    count(*) FILTER (seconds <= 86400) AS within_24h,
    count(*) FILTER (seconds <= 259200) AS within_72h
FROM waits
GROUP BY ALL
ORDER BY run_id, channel, variant, response
