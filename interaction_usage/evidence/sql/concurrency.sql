-- By which other numbers could this curve be billed?
--
-- Definition, over the seconds of the period up to the as-of instant:
--   maximum       the highest level
--   sustained N   the largest k with a level of k or more for N minutes in a row
--   accumulated N the largest k with a level of k or more for N minutes in all
--   percentile P  nearest rank over the highest level of each UTC minute, idle minutes being 0:
--                 of n minutes by level, the one in place ceil(P / 100 * n)
--   time average  sum of level * seconds, divided by the seconds
--
-- Tables: stretches
-- Parameters: $sustained and $accumulated (minutes), $percentiles
WITH whole AS (
    SELECT min(begins) AS begins, max(ends) AS ends, CAST(sum(ends - begins) AS BIGINT) AS seconds
    FROM stretches
),
-- Sustained. A window of N minutes can be moved to the left up to the begin of the stretch that it
-- begins in, and its lowest level does not fall: windows that begin with a stretch are enough.
windows AS (
    SELECT
        minutes, begins,
        min(level) OVER (
            PARTITION BY minutes ORDER BY begins
            RANGE BETWEEN CURRENT ROW AND (minutes * 60 - 1) FOLLOWING
        ) AS lowest
    FROM stretches, (SELECT unnest($sustained) AS minutes)
),
sustained AS (
    SELECT
        minutes,
        coalesce(max(lowest) FILTER (windows.begins + minutes * 60 <= whole.ends), 0) AS level
    FROM windows, whole
    GROUP BY minutes
),
seconds_at AS (
    SELECT level, sum(ends - begins) AS seconds FROM stretches GROUP BY level
),
seconds_from AS (
    SELECT level, sum(seconds) OVER (ORDER BY level DESC) AS seconds FROM seconds_at
),
accumulated AS (
    SELECT minutes, coalesce(max(level) FILTER (seconds >= minutes * 60), 0) AS level
    FROM seconds_from, (SELECT unnest($accumulated) AS minutes)
    GROUP BY minutes
),
busy_minutes AS (
    SELECT minute, max(level) AS level
    FROM (
        SELECT level, unnest(range(begins // 60, (ends - 1) // 60 + 1)) AS minute
        FROM stretches WHERE level > 0
    )
    GROUP BY minute
),
ranked AS (
    SELECT level, row_number() OVER (ORDER BY level) AS place FROM busy_minutes
),
minutes AS (
    SELECT
        (ends - 1) // 60 - begins // 60 + 1 AS total,
        (SELECT count(*) FROM busy_minutes) AS busy
    FROM whole
),
percentiles AS (
    SELECT
        percent,
        coalesce((
            SELECT level FROM ranked
            WHERE place = (percent * total + 99) // 100 - (total - busy)
        ), 0) AS level
    FROM minutes, (SELECT unnest($percentiles) AS percent)
)
SELECT
    (SELECT max(level) FROM stretches) AS maximum,
    (SELECT list({'n': minutes, 'level': level} ORDER BY minutes) FROM sustained) AS sustained,
    (SELECT list({'n': minutes, 'level': level} ORDER BY minutes) FROM accumulated) AS accumulated,
    (SELECT list({'n': percent, 'level': level} ORDER BY percent) FROM percentiles) AS percentiles,
    (SELECT CAST(sum(level * (ends - begins)) AS BIGINT) FROM stretches) AS session_seconds,
    (SELECT seconds FROM whole) AS seconds;
