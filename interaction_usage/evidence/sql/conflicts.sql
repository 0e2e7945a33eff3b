-- Which identities were used for two different events?
--
-- Definition. Accepted records of one account with the same source and id on the same UTC day of
-- `time`, whose type, time or data differ. One of them counts, whichever was read first.
--
-- Tables: candidates (accepted records of the accounts that no dead letter refuses)
WITH contents AS (
    SELECT
        account, source, id, epoch_us(time) // 86_400_000_000 AS day,
        topic, topic_id, partition, "offset", type, time, timestamp,
        hash(
            type, time, session, application, flow, flow_outcome, service, minutes_thousandths,
            call, link, campaign, number, void_source, void_id, void_type, void_time, void_data,
            corrected_start, corrected_stop, reason, actor
        ) AS content
    FROM candidates
),
conflicting AS (  -- hardly any: so records are put in an order only of these
    SELECT account, source, id, day
    FROM contents
    GROUP BY ALL
    HAVING min(content) <> max(content)
),
firsts AS (  -- the first record of each content
    SELECT *
    FROM contents SEMI JOIN conflicting USING (account, source, id, day)
    QUALIFY 1 = row_number() OVER (
        PARTITION BY account, source, id, day, content
        ORDER BY timestamp, topic, partition, "offset"
    )
)
SELECT
    account, source, id,
    list({
        'topic': topic, 'topic_id': topic_id, 'partition': partition, 'offset': "offset",
        'type': type, 'time_us': epoch_us(time)
    } ORDER BY timestamp, topic, partition, "offset") AS records
FROM firsts
GROUP BY account, source, id, day
ORDER BY account, source, id;
