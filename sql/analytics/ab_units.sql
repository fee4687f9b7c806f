-- ab_units: the units of a run's A/B test, with what each had done by a moment.
--
-- Inputs   facts        message_facts of one run
--          conversions  lake conversions/<run>: contact_id, event_id, converted_at, value; empty where there are none
--          pre_period   lake pre_period/<run>: contact_id, conversions, value; before the start, empty where not known
-- Params   $until    moment (exclusive) up to which events count
-- Grain    one row per contact that was assigned to a variant and planned (by assignment: whether sent or not)
-- Output   variant
--          delivered, read, bounced, opened, clicked, replied, unsubscribed, complained   true | false, by $until
--          converted, conversions, revenue           whether, how often, and the sum of the values, by $until
--          conversions_before, revenue_before        the same in the window before the start
-- Rule     Held-out contacts, and those in no variant, are no arm of the test. Delivered means delivered and not bounced
--          by then. A conversion counts for whoever it is of, whatever touched the contact; without value it adds 0.
-- Source   analysis by assignment: Kohavi, Tang, Xu, Trustworthy Online Controlled Experiments (2020), chapter 3

WITH converted AS (
    SELECT
        contact_id,
        count(*) AS conversions,
        sum(value ORDER BY converted_at, event_id) AS revenue
    FROM conversions
    WHERE converted_at < $until
    GROUP BY contact_id
)

SELECT
    facts.variant,
    coalesce(delivered_at < $until, false) AND NOT coalesce(bounced_at < $until, false) AS delivered,
    coalesce(read_at < $until, false) AS read,
    coalesce(bounced_at < $until, false) AS bounced,
    coalesce(opened_at < $until, false) AS opened,
    coalesce(clicked_at < $until, false) AS clicked,
    coalesce(replied_at < $until, false) AS replied,
    coalesce(unsubscribed_at < $until, false) AS unsubscribed,
    coalesce(complained_at < $until, false) AS complained,
    converted.contact_id IS NOT NULL AS converted,
    coalesce(converted.conversions, 0) AS conversions,
    coalesce(converted.revenue, 0) AS revenue,
    coalesce(pre_period.conversions, 0) AS conversions_before,
    coalesce(pre_period.value, 0) AS revenue_before
FROM facts
LEFT JOIN converted ON converted.contact_id = facts.contact_id
LEFT JOIN pre_period ON pre_period.contact_id = facts.contact_id
WHERE facts.status = 'planned' AND facts.variant IS NOT NULL
ORDER BY facts.contact_id
