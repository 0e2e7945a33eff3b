-- How many sessions are open?
--
-- Definition. Of the sessions that started before a second: `stopped` those that a stop (or a
-- correction) ended by then, `inferred` those without a stop whose limit has passed, `still_open`
-- the others. Then started - stopped - inferred = still_open, and that is the level at that second,
-- which is taken from the curve (`levels`).
--
-- Tables: sessions, series_members, levels
-- Parameters: $second
WITH counts AS (
    SELECT
        account, application AS series, count(*) AS started,
        count(*) FILTER (NOT inferred AND ends <= $second) AS stopped,
        count(*) FILTER (inferred AND ends <= $second) AS inferred
    FROM sessions
    WHERE begins <= $second
    GROUP BY ALL
)
SELECT
    account, series, started, stopped, counts.inferred,
    CAST(coalesce(max(level), 0) AS BIGINT) AS still_open
FROM counts
LEFT JOIN (FROM levels WHERE begins <= $second AND ends > $second) AS level_then
    USING (account, series)
GROUP BY ALL
ORDER BY account, series;
