-- Where did every record go?
--
-- Definition, over the records of the accounts whose `time` lies in the period, and that the rollups
-- have reached:
--   read       all of them
--   refused    those that are no valid event, or for a sealed day
--   duplicates further records of an event that counts
--   voided     events that a void takes back
--   applied    events that count and that nothing takes back
-- Then read = applied + duplicates + refused + voided. Each is counted by itself.
--
-- Tables: arrived (records of the accounts that the rollups have reached), candidates, counted,
--   period
WITH bounds AS (
    SELECT begins * 1_000_000 AS begins_us, ends * 1_000_000 AS ends_us FROM period
),
accepted AS (
    SELECT account, CAST(sum(records) AS BIGINT) AS records, count(*) AS events
    FROM (
        SELECT account, count(*) AS records
        FROM candidates, bounds
        WHERE epoch_us(time) >= begins_us AND epoch_us(time) < ends_us
        GROUP BY account, source, id, epoch_us(time) // 86_400_000_000
    )
    GROUP BY account
),
everything AS (
    SELECT
        account, count(*) AS records,
        count(*) FILTER (is_refused) AS refused
    FROM arrived, bounds
    WHERE epoch_us(time) >= begins_us AND epoch_us(time) < ends_us
    GROUP BY account
),
taken_back AS (
    SELECT account, count(*) AS events
    FROM counted, bounds
    WHERE time_us >= begins_us AND time_us < ends_us
      AND type <> 'usage.event.voided'
      AND (account, source, id, time_us // 86_400_000_000) IN (
          SELECT (account, void_source, void_id, void_time_us // 86_400_000_000)
          FROM counted WHERE type = 'usage.event.voided'
      )
    GROUP BY account
),
kept AS (
    SELECT account, count(*) AS events
    FROM counted, bounds
    WHERE time_us >= begins_us AND time_us < ends_us
      AND NOT (
          type <> 'usage.event.voided'
          AND EXISTS (
              FROM counted AS voids
              WHERE voids.type = 'usage.event.voided'
                AND voids.account = counted.account
                AND voids.void_source = counted.source
                AND voids.void_id = counted.id
                AND voids.void_time_us // 86_400_000_000 = counted.time_us // 86_400_000_000
          )
      )
    GROUP BY account
)
SELECT
    account, everything.records AS read, coalesce(kept.events, 0) AS applied,
    coalesce(accepted.records - accepted.events, 0) AS duplicates,
    everything.refused, coalesce(taken_back.events, 0) AS voided
FROM everything
LEFT JOIN accepted USING (account)
LEFT JOIN kept USING (account)
LEFT JOIN taken_back USING (account);
