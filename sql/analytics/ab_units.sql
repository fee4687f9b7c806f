-- ab_units: the units of a run's A/B test, with what each had done by a moment.
--
-- Inputs   facts     message_facts of one run
-- Params   $until    moment (exclusive) up to which events count
-- Grain    one row per contact that was assigned to a variant and planned (by assignment: whether sent or not)
-- Output   variant
--          delivered, read, bounced, opened, clicked, replied, unsubscribed, complained   true | false, by $until
-- Rule     Held-out contacts and those outside of the test (variant not_in_test) are no arm of it. Delivered means delivered and not bounced by then.
-- Source   analysis by assignment: Kohavi, Tang, Xu, Trustworthy Online Controlled Experiments (2020), chapter 3

SELECT
    variant,
    coalesce(delivered_at < $until, false) AND NOT coalesce(bounced_at < $until, false) AS delivered,
    coalesce(read_at < $until, false) AS read,
    coalesce(bounced_at < $until, false) AS bounced,
    coalesce(opened_at < $until, false) AS opened,
    coalesce(clicked_at < $until, false) AS clicked,
    coalesce(replied_at < $until, false) AS replied,
    coalesce(unsubscribed_at < $until, false) AS unsubscribed,
    coalesce(complained_at < $until, false) AS complained
FROM facts
WHERE status = 'planned' AND variant <> 'not_in_test'
