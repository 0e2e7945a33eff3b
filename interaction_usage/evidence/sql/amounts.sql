-- What does each event add to which counter?
--
-- Definition. A flow run adds 1 to its application and 1 to its outcome; a click 1 to its service;
-- a call its minutes, in thousandths; an SMS 1 to those with or without a campaign link; a number
-- 1 to those purchased or released. A void takes one event back: what that event added, with the
-- opposite sign, at that event's own time: as the void describes the event, whether it came or not.
--
-- Tables: counted, voids
CREATE OR REPLACE TEMP TABLE amounts AS
WITH effects AS (
    SELECT
        account, type, time_us, 1 AS sign, application, flow, flow_outcome, service,
        minutes_thousandths, link, source, id, topic, partition, "offset",
        NULL AS reason, NULL AS actor
    FROM counted
    UNION ALL
    SELECT
        account, void_type, void_time_us, -1, application, flow, flow_outcome, service,
        minutes_thousandths, link, source, id, topic, partition, "offset", reason, actor
    FROM voids
),
metrics AS (
    SELECT *, 'runs.' || application AS metric, sign AS amount
    FROM effects WHERE type = 'usage.flow.run'
    UNION ALL
    SELECT *, 'outcome.' || flow_outcome, sign FROM effects WHERE type = 'usage.flow.run'
    UNION ALL
    SELECT *, 'clicks.' || service, sign FROM effects WHERE type = 'usage.assist.clicked'
    UNION ALL
    SELECT *, 'call.minutes', sign * minutes_thousandths
    FROM effects WHERE type = 'usage.call.minutes'
    UNION ALL
    SELECT *, CASE WHEN link THEN 'sms.link' ELSE 'sms.plain' END, sign
    FROM effects WHERE type = 'usage.sms.sent'
    UNION ALL
    SELECT *, 'numbers.purchased', sign FROM effects WHERE type = 'usage.number.purchased'
    UNION ALL
    SELECT *, 'numbers.released', sign FROM effects WHERE type = 'usage.number.released'
)
SELECT
    account, metric, CAST(amount AS BIGINT) AS amount, time_us, type, flow, flow_outcome,
    sign < 0 AS voids, source, id, topic, partition, "offset", reason, actor
FROM metrics;
