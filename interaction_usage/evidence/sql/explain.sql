-- When was the maximum reached first, and for how many seconds?
--
-- Definition. The maximum is the largest hourly peak, so the highest level at any second of the
-- period's hours. `at` is the first second with that level.
--
-- Tables: levels, hours
-- Parameters: $series
WITH whole AS (SELECT min(begins) AS begins, max(ends) AS ends FROM hours),
present AS (
    SELECT
        level,
        greatest(levels.begins, whole.begins) AS begins,
        least(levels.ends, whole.ends) AS ends
    FROM levels, whole
    WHERE series = $series AND levels.begins < whole.ends AND levels.ends > whole.begins
)
SELECT level AS maximum, min(begins) AS at_second, CAST(sum(ends - begins) AS BIGINT) AS seconds
FROM present
GROUP BY level
ORDER BY level DESC
LIMIT 1;
