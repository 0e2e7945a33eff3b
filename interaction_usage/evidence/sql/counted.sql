-- Which records count?
--
-- Definition. Of the records that were not refused, the first one of each event. The same account,
-- source and id on the same UTC day of `time` are the same event. The first record is the one with
-- the earliest timestamp, unless another one is in `preferred`: of two contents under one identity,
-- either may count.
--
-- Tables: candidates, preferred(topic, topic_id, partition, offset)
CREATE OR REPLACE TEMP TABLE counted AS
WITH records AS (
    SELECT
        account, type, epoch_us(time) AS time_us, source, id, topic, partition, "offset", timestamp,
        session, application, flow, flow_outcome, service, minutes_thousandths, link,
        void_source, void_id, void_type, epoch_us(void_time) AS void_time_us, void_data,
        epoch_us(corrected_start) AS corrected_start_us,
        epoch_us(corrected_stop) AS corrected_stop_us,
        reason, actor, topic_id, epoch_us(time) // 86_400_000_000 AS day
    FROM candidates
),
repeated AS (  -- few events have several records: so these alone are put in an order
    SELECT account, source, id, day FROM records GROUP BY ALL HAVING count(*) > 1
),
firsts AS (
    SELECT *
    FROM records SEMI JOIN repeated USING (account, source, id, day)
    QUALIFY 1 = row_number() OVER (
        PARTITION BY account, source, id, day
        ORDER BY
            (topic, topic_id, partition, "offset") NOT IN (FROM preferred),
            timestamp, topic, partition, "offset"
    )
)
SELECT * EXCLUDE (topic_id, day)
FROM records ANTI JOIN repeated USING (account, source, id, day)
UNION ALL
SELECT * EXCLUDE (topic_id, day) FROM firsts;
