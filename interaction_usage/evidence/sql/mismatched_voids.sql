-- Which voids describe their event otherwise than it was?
--
-- Definition. Of the void of an event that is in effect and the event that it names, the type, the
-- time, or what counts of the data differs. A void takes away what it describes, so the event's own
-- amount stays where the two differ.
--
-- Tables: counted, voids, period
WITH pairs AS (
    SELECT
        voids.account, voids.void_source, voids.void_id, voids.void_type,
        voids.topic, voids.partition, voids."offset",
        original.topic AS event_topic, original.partition AS event_partition,
        original."offset" AS event_offset,
        list_filter([
            CASE WHEN voids.void_type <> original.type THEN 'type' END,
            CASE WHEN voids.void_time_us <> original.time_us THEN 'time' END,
            CASE WHEN original.type = 'usage.flow.run'
                  AND voids.application IS DISTINCT FROM original.application
                 THEN 'application' END,
            CASE WHEN original.type = 'usage.flow.run'
                  AND voids.flow IS DISTINCT FROM original.flow THEN 'flow' END,
            CASE WHEN original.type = 'usage.flow.run'
                  AND voids.flow_outcome <> original.flow_outcome THEN 'outcome' END,
            CASE WHEN original.type = 'usage.assist.clicked'
                  AND voids.service IS DISTINCT FROM original.service THEN 'service' END,
            CASE WHEN original.type = 'usage.call.minutes'
                  AND voids.minutes_thousandths <> original.minutes_thousandths
                 THEN 'minutes' END,
            CASE WHEN original.type = 'usage.sms.sent' AND voids.link <> original.link
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
