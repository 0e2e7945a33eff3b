-- For how long was the level above the sessions of a licence?
--
-- Definition, over the seconds of the period up to the as-of instant: `seconds_above` the seconds
-- with a level above the licence; `episodes` the uninterrupted stretches of such seconds; `longest`
-- the seconds of the longest of them.
--
-- Tables: stretches
-- Parameters: $licences
WITH above AS (
    SELECT
        licence, begins, ends,
        begins IS DISTINCT FROM lag(ends) OVER (PARTITION BY licence ORDER BY begins) AS is_first
    FROM stretches, (SELECT DISTINCT unnest($licences) AS licence)
    WHERE level > licence
),
episodes AS (
    SELECT
        licence, ends - begins AS seconds,
        sum(CAST(is_first AS INTEGER)) OVER (PARTITION BY licence ORDER BY begins) AS episode
    FROM above
),
lengths AS (
    SELECT licence, episode, sum(seconds) AS seconds FROM episodes GROUP BY ALL
)
SELECT
    licence, CAST(sum(seconds) AS BIGINT) AS seconds_above, count(*) AS episodes,
    CAST(max(seconds) AS BIGINT) AS longest
FROM lengths
GROUP BY licence;
