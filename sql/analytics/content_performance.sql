-- content_performance: how each template did, in each of its languages.
--
-- Inputs   facts      message_facts of one run
--          templates  step, variant, template: which template each variant has on each channel
-- Grain    run x template x channel x locale x variant
-- Output   run_id, campaign, channel, variant
--          template        name of the template; null: the contact is in none of the campaign's variants
--          locale          the language that the messages are in; null: of an earlier version, which did not say
--          messages        that were accepted
--          delivered, opened, clicked, replied, unsubscribed, converted
--                          contacts, by humans; converted is null where the campaign counts no conversions
--          open_rate, click_rate, unsubscribe_rate   of delivered
--          click_rate_low, click_rate_high   95% score interval of click_rate
--          click_to_open   clicked / opened
-- Rule     A rate is null where its denominator is 0. Who gets which language is not drawn by lot: languages are not
--          compared as variants are.
-- Source   message_facts; intervals: sql/macros/wilson.sql

WITH counted AS (
    SELECT
        facts.run_id, facts.campaign, facts.channel, facts.variant, templates.template, facts.locale,
        count(*) AS messages,
        count(*) FILTER (delivery IN ('delivered', 'read')) AS delivered,
        count(opened_at) AS opened,
        count(clicked_at) AS clicked,
        count(replied_at) AS replied,
        count(unsubscribed_at) AS unsubscribed,
        CASE WHEN count(conversions) > 0 THEN count(converted_at) END AS converted
    FROM facts
    LEFT JOIN templates ON templates.step = facts.step AND templates.variant = facts.variant
    WHERE status = 'planned' AND accepted
    GROUP BY ALL
)

SELECT
    *,
    opened / nullif(delivered, 0) AS open_rate,
    clicked / nullif(delivered, 0) AS click_rate,
    unsubscribed / nullif(delivered, 0) AS unsubscribe_rate,
    wilson_low(clicked, delivered) AS click_rate_low,
    wilson_high(clicked, delivered) AS click_rate_high,
    clicked / nullif(opened, 0) AS click_to_open
FROM counted
ORDER BY run_id, template, channel, locale, variant
