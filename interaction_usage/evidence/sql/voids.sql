-- Which voids are in effect, and what does each take away?
--
-- Definition. However many voids name one event (source, id and UTC day of its time), they count
-- once; of several, the one with the lowest (time, source, id) counts. It takes away the event as it
-- describes it. A flow run without an outcome is completed, a call without minutes has one, and an
-- SMS without a word about it has a campaign link.
--
-- Tables: counted
CREATE OR REPLACE TEMP TABLE voids AS
SELECT
    account, void_source, void_id, void_type, void_time_us,
    void_data ->> '$.application' AS application,
    void_data ->> '$.flow' AS flow,
    coalesce(void_data ->> '$.outcome', 'completed') AS flow_outcome,
    void_data ->> '$.service' AS service,
    CAST(1000 * coalesce(CAST(void_data ->> '$.minutes' AS DECIMAL(30, 3)), 1) AS BIGINT)
        AS minutes_thousandths,
    coalesce(CAST(void_data ->> '$.link' AS BOOLEAN), true) AS link,
    source, id, topic, partition, "offset", reason, actor
FROM counted
WHERE type = 'usage.event.voided'
QUALIFY 1 = row_number() OVER (
    PARTITION BY account, void_source, void_id, void_time_us // 86_400_000_000
    ORDER BY time_us, source, id
);
