-- sendgrid_events: the events of plain SendGrid posts, as events/providers/sendgrid.py reads them one by one.
--
-- Inputs   fields    row_no (in the order of posts and items), received_at, timestamp (seconds since 1970), machine, and as
--                    text or null: event, run_id, message_id, sg_message_id, sg_event_id, url, status, type, reason,
--                    attempt, email, useragent, ip
--          meanings  raw_type, type, suppress (of what a person said)
-- Params   $run_id, $message_id: patterns of our own; $readers: types whose user agent and IP are those of a reader;
--          $bounce_classes: type of a bounce -> class; $bounces: class -> suppress;
--          $drop_classes, $drops: reason of a drop (lower case) -> class, suppress
-- Grain    one row per event of a post
-- Output   row_no, then columns of normalise.WORKING, with `ip` in place of `network`
-- Source   SendGrid, Event Webhook Reference; event_id as event_digest of events/event.py

WITH named AS (
    SELECT
        * EXCLUDE (run_id, message_id, sg_message_id, status),
        coalesce(regexp_full_match(run_id, $run_id) AND regexp_full_match(message_id, $message_id), false) AS ours,
        CASE WHEN ours THEN fields.run_id ELSE '' END AS run_id,
        CASE WHEN ours THEN fields.message_id ELSE '' END AS message_id,
        coalesce(sg_message_id, '') AS sg_message_id,
        coalesce(status, '') AS status,
        CASE event
            WHEN 'bounce' THEN coalesce(
                $bounce_classes[type], CASE WHEN starts_with(fields.status, '4') THEN 'soft' ELSE 'hard' END
            )
            WHEN 'dropped' THEN coalesce($drop_classes[lower(reason)], 'content')
            ELSE ''
        END AS class
    FROM fields
),

identified AS (
    SELECT
        *,
        CASE WHEN message_id <> '' OR sg_message_id <> '' THEN sg_message_id ELSE coalesce(sg_event_id, '') END AS detail
    FROM named
)

SELECT
    row_no,
    sha256(concat(
        '8:sendgrid', length(message_id), ':', message_id, length(detail), ':', detail,
        length(event), ':', event, length(timestamp::VARCHAR), ':', timestamp, coalesce(length(url), 0), ':', url,
        CASE WHEN machine THEN '4:True' ELSE '5:False' END
    ))[:24] AS event_id,
    run_id,
    message_id,
    'sendgrid' AS provider,
    'email' AS channel,
    coalesce(meanings.type, 'unknown') AS type,
    make_timestamp(timestamp * 1000000) AT TIME ZONE 'UTC' AS occurred_at,
    received_at,
    CASE
        WHEN contains(sg_message_id, '.filter') THEN split_part(sg_message_id, '.filter', 1)
        WHEN contains(sg_message_id, '.recvd') THEN split_part(sg_message_id, '.recvd', 1)
        ELSE sg_message_id
    END AS provider_id,
    CASE WHEN class <> '' AND status <> '' THEN class || ':' || status ELSE class END AS reason,
    nullif(url, '') AS url,
    machine,
    event AS raw_type,
    CASE WHEN list_contains($readers, meanings.type) THEN nullif(useragent, '') END AS user_agent,
    CASE WHEN list_contains($readers, meanings.type) THEN nullif(ip, '') END AS ip,
    CASE
        WHEN event <> 'deferred' AND regexp_full_match(attempt, '[0-9]{1,9}') AND attempt::INTEGER >= 1
        THEN attempt::INTEGER
    END AS attempt,
    coalesce(email, '') AS address,
    CASE event
        WHEN 'bounce' THEN $bounces[class]
        WHEN 'dropped' THEN $drops[lower(reason)]
        ELSE meanings.suppress
    END AS suppress
FROM identified
LEFT JOIN meanings ON meanings.raw_type = event
