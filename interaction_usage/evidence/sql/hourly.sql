-- What is the peak of each hour, and when does that hour begin?
--
-- Tables: peaks, hours
SELECT account, series, begins, peak FROM peaks JOIN hours USING (number);
