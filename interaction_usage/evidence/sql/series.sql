-- Which sessions does each series count?
--
-- Definition. A series has the sessions of its application; `agent-sessions` has those of two
-- applications as one curve, whose peak is not the sum of the two peaks.
CREATE TEMP TABLE series_members AS
FROM (VALUES
    ('agent-sessions', 'agent'),
    ('agent-sessions', 'ticket-guidance'),
    ('agent', 'agent'),
    ('ticket-guidance', 'ticket-guidance'),
    ('mobile-web', 'mobile-web'),
    ('web-self-service', 'web-self-service')
) AS members (series, application);
