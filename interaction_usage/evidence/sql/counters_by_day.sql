-- What is the sum of each counter on each local day?
--
-- Definition. As `counters`, for the events whose time shows one local date. Days are numbered from
-- 1970-01-01.
--
-- Tables: amounts, period, offsets
SELECT
    account, metric, (time_us // 1_000_000 + utc_offset) // 86_400 AS day,
    CAST(sum(amount) AS BIGINT) AS total
FROM (
    SELECT amounts.*, time_us // 1_000_000 AS second
    FROM amounts, period
    WHERE time_us >= period.begins * 1_000_000 AND time_us < period.ends * 1_000_000
) AS within
ASOF JOIN offsets ON within.second >= offsets.begins
GROUP BY ALL
HAVING sum(amount) <> 0;
