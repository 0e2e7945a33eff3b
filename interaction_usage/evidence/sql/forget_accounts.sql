-- From here on, records of all accounts are meant, and those that name none.
DELETE FROM accounts;
