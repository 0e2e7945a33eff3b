-- Which voids describe their event otherwise than it was?
--
-- Definition. Of the void of an event that is in effect (the one with the lowest time, source and
-- id) and the event that it names, the type, the time, or what counts of the data differs. A void
-- takes away what it describes, so the event's own amount stays where the two differ.
--
-- Tables: counted, period
WITH voids AS (
    SELECT *
    FROM counted
    WHERE type = 'usage.event.voided'
    QUALIFY 1 = row_number() OVER (
        PARTITION BY account, void_source, void_id, void_time_us // 86_400_000_000
        ORDER BY time_us, source, id
    )
),
pairs AS (
    SELECT
        voids.account, voids.void_source, voids.void_id, voids.void_type,
        voids.topic, voids.partition, voids."offset",
        original.topic AS event_topic, original.partition AS event_partition,
        original."offset" AS event_offset,
        list_filter([
            CASE WHEN voids.void_type <> original.type THEN 'type' END,
            CASE WHEN voids.void_time_us <> original.time_us THEN 'time' END,
            CASE WHEN voids.void_data ->> '$.application' IS DISTINCT FROM original.application
                  AND original.type = 'usage.flow.run' THEN 'application' END,
            CASE WHEN voids.void_data ->> '$.flow' IS DISTINCT FROM original.flow
                  AND original.type = 'usage.flow.run' THEN 'flow' END,
            CASE WHEN coalesce(voids.void_data ->> '$.outcome', 'completed') <> original.flow_outcome
                  AND original.type = 'usage.flow.run' THEN 'outcome' END,
            CASE WHEN voids.void_data ->> '$.service' IS DISTINCT FROM original.service
                  AND original.type = 'usage.assist.clicked' THEN 'service' END,
            CASE WHEN original.type = 'usage.call.minutes'
                  AND CAST(1000 * coalesce(
                          CAST(voids.void_data ->> '$.minutes' AS DECIMAL(30, 3)), 1
                      ) AS BIGINT) <> original.minutes_thousandths THEN 'minutes' END,
            CASE WHEN original.type = 'usage.sms.sent'
                  AND coalesce(CAST(voids.void_data ->> '$.link' AS BOOLEAN), true) <> original.link
                 THEN 'link' END
        ], lambda name: name IS NOT NULL) AS differing
    FROM voids JOIN counted AS original
        ON original.account = voids.account
        AND original.source = voids.void_source
        AND original.id = voids.void_id
        AND original.time_us // 86_400_000_000 = voids.void_time_us // 86_400_000_000
        AND original.type <> 'usage.event.voided',
        period
    WHERE voids.void_time_us >= period.begins * 1_000_000
      AND voids.void_time_us < period.ends * 1_000_000
)
SELECT * FROM pairs
WHERE len(differing) > 0
ORDER BY account, void_source, void_id;
