-- What does the report say of each series?
--
-- Definition. The maximum is the largest hourly peak, the busiest hour the earliest one with it. The
-- average is the sum of the hourly peaks divided by the hours with a peak above 0.
--
-- Tables: peaks, hours
SELECT
    account, series, max(peak) AS maximum, CAST(sum(peak) AS BIGINT) AS peak_sum,
    count(*) AS reported_hours, arg_max(begins, (peak, -number)) AS busiest_hour
FROM peaks JOIN hours USING (number)
GROUP BY ALL;
