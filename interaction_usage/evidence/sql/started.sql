-- How many sessions started, and how many of these have no stop?
--
-- Definition. By application, the sessions that start in the period, and those of them whose end is
-- inferred.
--
-- Tables: sessions, period
SELECT
    account, application, count(*) AS started,
    count(*) FILTER (inferred) AS without_stop
FROM sessions, period
WHERE sessions.begins >= period.begins AND sessions.begins < period.ends
GROUP BY ALL;
