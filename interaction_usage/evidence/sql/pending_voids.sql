-- Which voids name an event that never came?
--
-- Definition. A void whose event (account, source, id and UTC day of its time) has no record that
-- counts. It shows in the sums, with the opposite sign.
--
-- Tables: counted, period
SELECT
    voids.account, voids.void_source, voids.void_id, voids.void_type, voids.void_time_us,
    voids.topic, voids.partition, voids."offset", voids.reason
FROM counted AS voids, period
WHERE voids.type = 'usage.event.voided'
  AND voids.void_time_us >= period.begins * 1_000_000
  AND voids.void_time_us < period.ends * 1_000_000
  AND NOT EXISTS (
      FROM counted AS original
      WHERE original.account = voids.account
        AND original.source = voids.void_source
        AND original.id = voids.void_id
        AND original.time_us // 86_400_000_000 = voids.void_time_us // 86_400_000_000
        AND original.type <> 'usage.event.voided'
  )
ORDER BY voids.account, voids.void_time_us, voids.void_source, voids.void_id;
