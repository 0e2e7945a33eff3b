-- Which whole second does a microsecond lie in, and which is the first one not before it?
CREATE TEMP MACRO floor_second(us) AS (us - (us % 1_000_000 + 1_000_000) % 1_000_000) // 1_000_000;
CREATE TEMP MACRO ceil_second(us) AS -floor_second(-us);
