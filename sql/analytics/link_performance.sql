-- link_performance: which links of a run's messages were clicked, and by how many.
--
-- Inputs   facts     message_facts of one run
--          events    lake delivery_events of the run: message_id, type, url, machine
-- Params   $run_id
-- Grain    run x variant x channel x url
-- Output   run_id, campaign, channel, variant
--          url              without query and fragment, which may name a person; of one with an @ in it the host only
--          clickers         contacts that clicked it
--          clicks           clicks of humans
--          machine_clicks   clicks of machines
--          click_rate       clickers / contacts of the variant whose message was delivered
--          click_rate_low, click_rate_high   95% score interval of it
--          share            of all clicks of humans in the variant
-- Rule     A rate is null where its denominator is 0. A contact may click several links.
-- Source   delivery_events; intervals: sql/macros/wilson.sql

WITH clicked AS (
    SELECT
        facts.run_id, facts.campaign, facts.channel, facts.variant, facts.contact_id, events.machine,
        CASE WHEN regexp_matches(address, '@|%40') THEN regexp_extract(address, '^[a-z]+://(?:[^/@]*@)?([^/@]*)', 1)
        ELSE address END AS url
    FROM (SELECT *, regexp_extract(url, '^[^?#]*') AS address FROM events) AS events
    JOIN facts ON facts.message_id = events.message_id
    WHERE events.run_id = $run_id AND events.type = 'clicked' AND events.url IS NOT NULL
),

reached AS (
    SELECT channel, variant, count(*) AS delivered
    FROM facts
    WHERE status = 'planned' AND delivery IN ('delivered', 'read')
    GROUP BY ALL
),

links AS (
    SELECT
        run_id, campaign, channel, variant, url,
        count(DISTINCT contact_id) FILTER (NOT machine) AS clickers,
        count(*) FILTER (NOT machine) AS clicks,
        count(*) FILTER (machine) AS machine_clicks
    FROM clicked
    GROUP BY ALL
)

SELECT
    links.run_id, links.campaign, links.channel, links.variant, links.url, clickers, clicks, machine_clicks,
    clickers / nullif(delivered, 0) AS click_rate,
    wilson_low(clickers, delivered) AS click_rate_low,
    wilson_high(clickers, delivered) AS click_rate_high,
    clicks / nullif(sum(clicks) OVER (PARTITION BY links.run_id, links.channel, links.variant), 0) AS share
FROM links
LEFT JOIN reached ON reached.channel = links.channel AND reached.variant IS NOT DISTINCT FROM links.variant
ORDER BY links.run_id, links.channel, links.variant, links.url
