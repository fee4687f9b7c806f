-- cohort_retention: of the contacts first reached in a month, how many still react to messages months later.
--
-- Inputs   activity  lake contact_activity: day, contact_id, delivered, opened, clicked, replied
-- Grain    cohort x month since; every month with activity from the cohort's own on
-- Output   cohort         first day of the month (UTC) of the first delivery to its contacts, on whatever channel
--          months_since   0: the cohort's own month
--          contacts       of the cohort
--          engaged        of them with an open, click or reply of a human in that month
--          retention      engaged / contacts
--          retention_low, retention_high   95% score interval of it
-- Rule     The newest month is not over: its retention still grows.
-- Source   cohort analysis as usual; intervals: sql/macros/wilson.sql

WITH months AS (
    SELECT contact_id, date_trunc('month', "day")::DATE AS "month", sum(delivered) AS delivered,
        sum(opened + clicked + replied) AS engaged
    FROM activity
    GROUP BY ALL
),

cohorts AS (
    SELECT contact_id, min("month") AS cohort FROM months WHERE delivered > 0 GROUP BY contact_id
),

sizes AS (
    SELECT cohort, count(*) AS contacts FROM cohorts GROUP BY cohort
),

grid AS (
    SELECT sizes.cohort, sizes.contacts, calendar."month"
    FROM sizes
    JOIN (SELECT DISTINCT "month" FROM months) AS calendar ON calendar."month" >= sizes.cohort
),

active AS (
    SELECT cohorts.cohort, months."month", count(*) AS engaged
    FROM months
    JOIN cohorts ON cohorts.contact_id = months.contact_id
    WHERE months.engaged > 0
    GROUP BY ALL
)

SELECT
    grid.cohort,
    date_diff('month', grid.cohort, grid."month") AS months_since,
    grid.contacts,
    coalesce(active.engaged, 0) AS engaged,
    coalesce(active.engaged, 0) / grid.contacts AS retention,
    wilson_low(coalesce(active.engaged, 0), grid.contacts) AS retention_low,
    wilson_high(coalesce(active.engaged, 0), grid.contacts) AS retention_high
FROM grid
LEFT JOIN active ON active.cohort = grid.cohort AND active."month" = grid."month"
ORDER BY grid.cohort, months_since
