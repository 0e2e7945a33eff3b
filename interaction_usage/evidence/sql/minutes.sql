-- What was the highest level of each minute?
--
-- Definition. The most sessions present at any second of each minute from $first to $end. Only
-- minutes with a level above 0 have a row; they are numbered from 0.
--
-- Tables: levels
-- Parameters: $series, $first, $end (seconds)
WITH spans AS (
    SELECT greatest(begins, $first) - $first AS begins, least(ends, $end) - $first AS ends, level
    FROM levels
    WHERE series = $series AND begins < $end AND ends > $first
)
SELECT number, max(level) AS level
FROM (SELECT level, unnest(range(begins // 60, (ends - 1) // 60 + 1)) AS number FROM spans)
GROUP BY number;
