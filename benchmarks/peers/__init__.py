"""The peers: one small program each, written the way its library wants to be used.

Each counts the same (`counted`): per account and UTC day, flow runs by application, clicks by
service, thousandths of call minutes, messages, session starts and stops. None validates, removes
duplicates or knows of concurrency; what each guarantees is said at its head.

They are reported where to work by the environment: `PEER_KAFKA`, `PEER_REDIS`, `PEER_GROUP` (the
consumer group, new in every run), `PEER_FOLDER` (for state on disk), `PEER_TOPICS`,
`PEER_GUARANTEE` (where a peer has a choice), `PEER_THREADS` (of Kafka Streams; 1).
"""
