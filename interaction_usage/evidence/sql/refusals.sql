-- Which refused records have no dead letter?
--
-- Definition. Every record that is no valid usage event must have a dead letter, which names its
-- topic, partition and offset. A batch that could not be read has neither key nor value here, and
-- its dead letter names its first offset; it is left out. So is what lies before the first dead
-- letter that there still is, and what the rollups have not positions.
--
-- Tables: events, dead_letters, reached, accounts; no account there means all records
SELECT topic, partition, "offset", outcome, account
FROM events
WHERE outcome <> 'accepted'
  AND (key IS NOT NULL OR value IS NOT NULL)
  AND (NOT EXISTS (FROM accounts) OR account IN (FROM accounts))
  AND (
      NOT EXISTS (FROM positions)
      OR EXISTS (
          FROM positions
          WHERE positions.topic = events.topic
            AND positions.topic_id = events.topic_id
            AND positions.partition = events.partition
            AND events."offset" < positions.ends
      )
  )
  AND NOT EXISTS (
      FROM dead_letters AS refused
      WHERE refused.refused_topic = events.topic
        AND refused.refused_partition = events.partition
        AND refused.refused_offset = events."offset"
  )
ORDER BY topic, partition, "offset";
