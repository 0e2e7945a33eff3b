-- From when to when was each session present?
--
-- Definition. Of several starts of a session (account, application, session) the earliest counts,
-- of several stops the earliest. A correction replaces all of that; of several, the one with the
-- latest (time, start, stop) counts, a null being earlier than any instant. The session is present
-- in the whole seconds [floor(start), ceil(stop)), and for one second at least. Without a stop its
-- end is inferred: floor(start) + the limit of its application. Without a start it is not present.
--
--     start 10:00:00.7              stop 10:00:03.2
--            |----------------------|
--     [10:00:00                10:00:04)     present at 10:00:00, :01, :02 and :03
--
-- Tables: counted, limits(application, seconds)
CREATE OR REPLACE TEMP TABLE sessions AS
WITH reported AS (
    SELECT
        account, application, session,
        min(time_us) FILTER (type = 'usage.session.started') AS start_us,
        min(time_us) FILTER (type = 'usage.session.stopped') AS stop_us
    FROM counted
    WHERE type IN ('usage.session.started', 'usage.session.stopped')
    GROUP BY ALL
),
corrected AS (
    SELECT
        account, application, session,
        corrected_start_us AS start_us, corrected_stop_us AS stop_us
    FROM counted
    WHERE type = 'usage.session.corrected'
    QUALIFY 1 = row_number() OVER (
        PARTITION BY account, application, session
        ORDER BY time_us DESC, corrected_start_us DESC NULLS LAST,
                 corrected_stop_us DESC NULLS LAST, source, id
    )
),
valid AS (
    SELECT *, true AS corrected FROM corrected
    UNION ALL
    SELECT *, false AS corrected
    FROM reported ANTI JOIN corrected USING (account, application, session)
)
SELECT
    account, application, session, start_us, stop_us, corrected,
    stop_us IS NULL AS inferred,
    floor_second(start_us) AS begins,
    CASE
        WHEN stop_us IS NULL THEN floor_second(start_us) + limits.seconds
        ELSE greatest(ceil_second(stop_us), floor_second(start_us) + 1)
    END AS ends
FROM valid JOIN limits USING (application)
WHERE start_us IS NOT NULL;
