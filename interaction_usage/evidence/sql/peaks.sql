-- What is the peak of each hour?
--
-- Definition. The peak of an hour is the highest level at any second of it, sessions that were
-- carried in included. Only hours with a peak above 0 have a row.
--
-- Tables: levels, hours
CREATE OR REPLACE TEMP TABLE peaks AS
WITH spans AS (
    SELECT
        account, series, level,
        greatest(levels.begins, whole.begins) AS begins,
        least(levels.ends, whole.ends) AS ends
    FROM levels, (SELECT min(begins) AS begins, max(ends) AS ends FROM hours) AS whole
    WHERE levels.begins < whole.ends AND levels.ends > whole.begins
),
numbered AS (  -- the first and the last hour that each stretch of one level reaches into
    SELECT
        account, series, level, first_hour.number AS first_number, last_hour.number AS last_number
    FROM spans
    ASOF JOIN hours AS first_hour ON spans.begins >= first_hour.begins
    ASOF JOIN hours AS last_hour ON spans.ends > last_hour.begins
)
SELECT account, series, number, max(level) AS peak
FROM (
    SELECT account, series, level, unnest(range(first_number, last_number + 1)) AS number
    FROM numbered
)
GROUP BY ALL;
