-- Which sessions ask for a place in a licence, in which order?
--
-- Definition. The sessions that start in the period before the as-of instant, in the order of
-- (start, application, session); and before them those that were carried in, which have a place.
--
-- Tables: sessions, series_members, period
-- Parameters: $series, $as_of
SELECT sessions.begins >= period.begins AS starts, sessions.begins, sessions.ends
FROM sessions JOIN series_members USING (application), period
WHERE series = $series
  AND sessions.begins < least(period.ends, $as_of)
  AND sessions.ends > period.begins
ORDER BY sessions.begins, application, session;
