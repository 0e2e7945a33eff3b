-- Which events does a counter sum?
--
-- Definition. The events whose time lies in the period, and what each adds; a void is listed with
-- what it takes away, its reason, and who made it. `runs` is the sum over all applications.
--
-- Tables: amounts, period
-- Parameters: $metrics
SELECT source, id, type, time_us, topic, partition, "offset", amount, voids, reason, actor
FROM amounts, period
WHERE list_contains($metrics, metric)
  AND time_us >= period.begins * 1_000_000 AND time_us < period.ends * 1_000_000
ORDER BY time_us, source, id, voids;
