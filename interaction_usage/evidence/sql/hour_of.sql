-- Which hour of the wall clock has a second?
--
-- Parameters: $second
SELECT begins, ends FROM hours WHERE begins <= $second AND ends > $second;
