-- Which sessions were present at a second, and which events say so?
--
-- Definition. A session is present at a second that its interval [begins, ends) has. The events
-- behind an interval are the earliest start and the earliest stop, or the correction that replaced
-- them, with its reason and who made it.
--
-- Tables: sessions, series_members, counted
-- Parameters: $series, $second
WITH present AS (
    FROM sessions JOIN series_members USING (application)
    WHERE series = $series AND begins <= $second AND ends > $second
),
behind AS (
    SELECT
        application, session, counted.type, time_us, source, id, topic, partition, "offset",
        reason, actor
    FROM present JOIN counted USING (account, application, session)
    WHERE
        CASE counted.type
            WHEN 'usage.session.started' THEN NOT corrected AND time_us = start_us
            WHEN 'usage.session.stopped' THEN NOT corrected AND time_us = stop_us
            WHEN 'usage.session.corrected' THEN corrected
        END
    QUALIFY 1 = row_number() OVER (
        PARTITION BY application, session, counted.type
        ORDER BY
            CASE counted.type WHEN 'usage.session.corrected' THEN -time_us ELSE time_us END,
            corrected_start_us DESC NULLS LAST, corrected_stop_us DESC NULLS LAST, source, id
    )
)
SELECT
    application, session, begins, ends, inferred, corrected,
    list({
        'source': source, 'id': id, 'topic': topic, 'partition': partition, 'offset': "offset",
        'type': type, 'time_us': time_us, 'reason': reason, 'actor': actor
    } ORDER BY time_us, type) AS events
FROM present JOIN behind USING (application, session)
GROUP BY ALL
ORDER BY application, session;
