-- Which hours of the wall clock does the period have?
--
-- Definition. An hour is the set of instants that share local date, local hour and UTC offset. The
-- period begins at the first instant of its first local day and ends at the first instant after its
-- last one. Hours that begin at or after the as-of instant are not part of it. Where the clocks
-- change by an hour, a day has 23 or 25 hours; where they change by half an hour, one hour is short.
--
-- Tables: offsets(begins, ends, utc_offset), the stretches of one UTC offset in the time zone
-- Parameters: $first_day, $end_day (days since 1970-01-01, the end excluded), $as_of (the first
-- whole second not before the as-of instant)
CREATE TEMP TABLE period AS
SELECT
    min(greatest(begins, $first_day * 86_400 - utc_offset))
        FILTER (greatest(begins, $first_day * 86_400 - utc_offset) < ends) AS begins,
    min(greatest(begins, $end_day * 86_400 - utc_offset))
        FILTER (greatest(begins, $end_day * 86_400 - utc_offset) < ends) AS ends
FROM offsets;

CREATE TEMP TABLE hours AS
WITH cut AS (
    SELECT
        greatest(offsets.begins, period.begins) AS begins,
        least(offsets.ends, period.ends) AS ends,
        utc_offset
    FROM offsets, period
    WHERE greatest(offsets.begins, period.begins) < least(offsets.ends, period.ends)
),
wall AS (
    SELECT
        *,
        unnest(range(
            (begins + utc_offset) // 3600, (ends - 1 + utc_offset) // 3600 + 1
        )) AS local_hour
    FROM cut
)
SELECT
    row_number() OVER (ORDER BY greatest(begins, local_hour * 3600 - utc_offset)) - 1 AS number,
    greatest(begins, local_hour * 3600 - utc_offset) AS begins,
    least(ends, (local_hour + 1) * 3600 - utc_offset) AS ends,
    utc_offset
FROM wall
WHERE greatest(begins, local_hour * 3600 - utc_offset) < $as_of;
