-- Which sessions were open for long, or still are?
--
-- Definition. Of the sessions that were present in the period, up to the as-of instant: one is
-- `open` if it has no stop and its limit has not passed; ended by the `limit` if that has passed;
-- else `stopped`. Its age goes from its begin to its end, or to the as-of instant if it is open.
--
-- Tables: sessions, period(begins, ends)
-- Parameters: $as_of, $longer (seconds), $states, $most
WITH present AS (
    SELECT
        application, session, sessions.begins, sessions.ends, corrected,
        CASE
            WHEN NOT inferred THEN 'stopped'
            WHEN sessions.ends > $as_of THEN 'open'
            ELSE 'limit'
        END AS state
    FROM sessions, period
    WHERE
        sessions.begins <= $as_of
        AND sessions.begins < period.ends AND sessions.ends > period.begins
),
aged AS (
    SELECT *, CASE WHEN state = 'open' THEN $as_of ELSE ends END - begins AS age FROM present
)
SELECT
    application, session, begins, ends, state, corrected, age,
    count(*) OVER () AS total
FROM aged
WHERE age >= $longer AND list_contains($states, state)
ORDER BY age DESC, begins, application, session
LIMIT $most;
