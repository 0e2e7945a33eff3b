-- What is the sum of each counter?
--
-- Definition. Over the events whose time lies in the period, from local midnight of its first day to
-- local midnight after its last: the sum of what each adds (`amounts`).
--
-- Tables: amounts, period
SELECT account, metric, CAST(sum(amount) AS BIGINT) AS total
FROM amounts, period
WHERE time_us >= period.begins * 1_000_000 AND time_us < period.ends * 1_000_000
GROUP BY ALL
HAVING sum(amount) <> 0;
