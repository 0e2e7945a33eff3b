-- How often did each flow run, by outcome?
--
-- Definition. The flow runs whose time lies in the period; a void takes one back.
--
-- Tables: amounts, period
SELECT account, flow, flow_outcome, CAST(sum(amount) AS BIGINT) AS total
FROM amounts, period
WHERE type = 'usage.flow.run'
  AND metric = 'outcome.' || flow_outcome  -- each run is counted by application, too
  AND time_us >= period.begins * 1_000_000 AND time_us < period.ends * 1_000_000
GROUP BY ALL
HAVING sum(amount) <> 0;
