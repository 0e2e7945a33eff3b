"""The archive: every record of the event topics, copied from Kafka into tables of Parquet files.

It needs the extra `archive` (deltalake, pyarrow, duckdb).
"""
