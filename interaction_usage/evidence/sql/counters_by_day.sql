-- What is the sum of each counter on each local day?
--
-- Definition. As `counters`, for the events whose time shows one local date; of the days that have
-- begun at the as-of instant. Days are numbered from 1970-01-01.
--
-- Tables: amounts, period, offsets, hours
WITH within AS (
    SELECT account, metric, amount, time_us // 1_000_000 AS second
    FROM amounts, period
    WHERE time_us >= period.begins * 1_000_000 AND time_us < period.ends * 1_000_000
),
dated AS (
    SELECT account, metric, amount, (second + utc_offset) // 86_400 AS day
    FROM within ASOF JOIN offsets ON within.second >= offsets.begins
)
SELECT account, metric, day, CAST(sum(amount) AS BIGINT) AS total
FROM dated
WHERE day IN (SELECT (begins + utc_offset) // 86_400 FROM hours)
GROUP BY ALL
HAVING sum(amount) <> 0;
