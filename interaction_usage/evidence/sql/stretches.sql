-- What was the level at every second of the period, up to the as-of instant?
--
-- Definition. As in `levels`, but with the stretches at level 0, cut to the seconds from the
-- period's begin to its end or the as-of instant, whichever is earlier.
--
-- Tables: levels, period
-- Parameters: $series, $as_of
CREATE TEMP TABLE stretches AS
WITH whole AS (SELECT begins, greatest(begins, least(ends, $as_of)) AS ends FROM period),
busy AS (
    SELECT
        greatest(levels.begins, whole.begins) AS begins,
        least(levels.ends, whole.ends) AS ends,
        level
    FROM levels, whole
    WHERE series = $series AND levels.begins < whole.ends AND levels.ends > whole.begins
),
idle AS (  -- from the end of a busy stretch, or the period's begin, to the next one, or its end
    SELECT edge AS begins, coalesce(next_busy, whole.ends) AS ends, 0 AS level
    FROM (
        SELECT ends AS edge, lead(begins) OVER (ORDER BY begins) AS next_busy FROM busy
        UNION ALL
        SELECT whole.begins, (SELECT min(begins) FROM busy) FROM whole
    ), whole
    WHERE edge < coalesce(next_busy, whole.ends)
)
SELECT begins, ends, level FROM busy WHERE begins < ends
UNION ALL
SELECT begins, ends, level FROM idle;
