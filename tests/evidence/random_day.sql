-- A random day: the events as they arrive in ten partitions.
--
-- They arrive by their time, but some at any other moment of the day, and some twice. Sessions stop
-- at any moment, some of them never; some stop without a start.
--
-- Parameters: $events, $accounts, $seed, $midnight (seconds)
SET VARIABLE seed = $seed;
CREATE MACRO draw(number, what) AS
    (hash(number, what, getvariable('seed')) % 1_000_000_007) / 1_000_000_007.0;
CREATE MACRO one_of(number, what, list) AS
    list[1 + CAST(floor(len(list) * draw(number, what)) AS INTEGER)];
CREATE TEMP TABLE events AS
WITH numbered AS (
    SELECT
        range AS number,
        CASE WHEN range < 0.3 * $events THEN range
             WHEN range < 0.58 * $events THEN range - CAST(0.27 * $events AS BIGINT) END AS session,
        coalesce(session, range) AS owner,
        draw(range, 'kind') AS kind
    FROM range($events)
),
typed AS (
    SELECT
        *, CAST(floor($accounts * draw(owner, 'account')) AS BIGINT) AS account_number,
        CASE
            WHEN number < 0.3 * $events THEN 'usage.session.started'
            WHEN number < 0.58 * $events THEN 'usage.session.stopped'
            WHEN kind < 0.52 THEN 'usage.flow.run'
            WHEN kind < 0.76 THEN 'usage.assist.clicked'
            WHEN kind < 0.86 THEN 'usage.call.minutes'
            WHEN kind < 0.96 THEN 'usage.sms.sent'
            ELSE 'usage.number.purchased'
        END AS type,
        ($midnight + CAST(floor(86_400 * draw(number, 'second')) AS BIGINT)) * 1_000_000
            + one_of(number, 'micros', [0, 0, 500_000, 1]) AS time_us
    FROM numbered
),
said AS (
    SELECT
        'account-' || account_number AS account, account_number % 10 AS partition, type,
        time_us, CAST(number AS VARCHAR) AS id, 's-' || session AS session,
        CASE WHEN session IS NOT NULL OR type = 'usage.flow.run' THEN one_of(
            owner, 'application', ['agent', 'ticket-guidance', 'mobile-web', 'web-self-service']
        ) END AS application,
        CASE type WHEN 'usage.flow.run' THEN 'flow-' || number % 20 END AS flow,
        CASE type WHEN 'usage.flow.run'
            THEN one_of(number, 'outcome', ['completed', 'completed', 'abandoned'])
        END AS flow_outcome,
        CASE type WHEN 'usage.assist.clicked'
            THEN one_of(number, 'service', ['call-now', 'callback', 'chat', 'email'])
        END AS service,
        CASE type WHEN 'usage.call.minutes'
            THEN CAST(1 + floor(59_999 * draw(number, 'minutes')) AS BIGINT)
        END AS minutes_thousandths,
        CASE type WHEN 'usage.sms.sent' THEN draw(number, 'link') < 0.8 END AS link,
        CASE type WHEN 'usage.number.purchased' THEN '+4930123' END AS "number"
    FROM typed
),
sent AS (
    SELECT *, 1 AS copy FROM said
    UNION ALL
    SELECT *, 2 FROM said WHERE draw(id, 'twice') < 0.02
),
arriving AS (
    SELECT *, CASE WHEN draw(id, copy || 'late') < 0.98 THEN time_us
        ELSE ($midnight + 86_400 * draw(id, copy || 'moment')) * 1_000_000 END AS arrives
    FROM sent
)
SELECT * EXCLUDE (arrives, copy),
    row_number() OVER (PARTITION BY partition ORDER BY arrives, id, copy) - 1 AS "offset"
FROM arriving
ORDER BY partition, "offset";
