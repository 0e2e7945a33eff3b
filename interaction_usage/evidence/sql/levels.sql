-- How many sessions of each series were present, second by second?
--
-- Definition. The level at a second is the number of sessions whose interval has it. It changes
-- only where a session begins or ends: a row is a stretch [begins, ends) of one level above 0.
--
--     A  [10:00        10:20)
--     B        [10:10           10:30)
--        | 1   |   2   |   1    |
--
-- Tables: sessions, series_members
-- Parameters: $series, the series that are needed
CREATE OR REPLACE TEMP TABLE levels AS
WITH changes AS (
    SELECT account, series, second, sum(change) AS change
    FROM (
        SELECT account, application, begins AS second, 1 AS change FROM sessions
        UNION ALL
        SELECT account, application, ends AS second, -1 AS change FROM sessions
    )
    JOIN series_members USING (application)
    WHERE list_contains($series, series)
    GROUP BY ALL
    HAVING sum(change) <> 0
)
SELECT * FROM (
    SELECT
        account, series, second AS begins,
        lead(second) OVER curve AS ends,
        CAST(sum(change) OVER curve AS BIGINT) AS level
    FROM changes
    WINDOW curve AS (PARTITION BY account, series ORDER BY second)
)
WHERE level > 0;
