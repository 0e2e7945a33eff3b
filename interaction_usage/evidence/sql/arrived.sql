-- Which records of the accounts have the rollups reached, and which of them were refused?
--
-- Definition. The rollups have reached what lies before the end offset that `reached` has for the
-- account and topic-partition; without any row there, everything. A record was refused if it is no
-- valid usage event (its outcome is not 'accepted'), or if a dead letter says that its UTC day was
-- sealed.
--
-- Tables: events, dead_letters, accounts(account), reached(account, topic, topic_id, partition,
--   ends), with one end of each, wanted_types(type); without any row there, every type is wanted
CREATE TEMP VIEW arrived AS
SELECT
    events.*,
    outcome <> 'accepted'
    OR EXISTS (
        FROM dead_letters AS refused
        WHERE refused.reason = 'sealed'
          AND refused.refused_topic = events.topic
          AND refused.refused_partition = events.partition
          AND refused.refused_offset = events."offset"
          AND coalesce(refused.account = events.account, true)  -- an earlier topic of this name
          AND coalesce(refused.time = events.time, true)        -- had the same offsets
    ) AS is_refused
FROM events LEFT JOIN reached USING (account, topic, topic_id, partition)
WHERE account IN (FROM accounts)
  AND (NOT EXISTS (FROM wanted_types) OR type IN (FROM wanted_types))
  AND (NOT EXISTS (FROM reached) OR events."offset" < reached.ends);

CREATE TEMP VIEW candidates AS FROM arrived WHERE NOT is_refused;
