-- From here on, only the hour of the wall clock counts that has a second.
--
-- Parameters: $second
DELETE FROM hours WHERE begins > $second OR ends <= $second;
