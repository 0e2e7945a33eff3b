"""Starts and stops real servers for development, the demo and tests; nothing runs without them.

One module for each server: `redis_server` (Redis or Valkey), `redis_cluster`, `mock_broker`
(librdkafka's broker inside this process) and `apache_kafka` (Apache Kafka itself). All listen on
127.0.0.1 only. A deployment brings its own servers; only commands and tests import this package.
"""
