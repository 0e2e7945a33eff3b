// Publishes some usage of an account: node publish.js ACCOUNT, with USAGE_KAFKA=host:port.
import { randomUUID } from "node:crypto";

import { CloudEvent, Kafka as Binding } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const [account] = process.argv.slice(2);
const kafka = new Kafka({
  brokers: process.env.USAGE_KAFKA.split(","),
  clientId: "usage-producer",
  logLevel: logLevel.ERROR,
});
// An idempotent producer of kafkajs has one request at a time and repeats it; acks -1 is all.
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });

/** Returns an event: its id is made once, and kept however often it is sent. */
function event(type, time, data) {
  return new CloudEvent({
    id: randomUUID(),
    source: "/examples/javascript",
    type,
    subject: account,
    time: time.toISOString(),
    datacontenttype: "application/json",
    data,
  });
}

/** Publishes an event, in structured mode, and waits until every replica in sync has it. */
async function publish(topic, what) {
  const { headers, value } = Binding.structured(what);
  const message = { key: account, value, headers };
  await producer.send({ topic, messages: [message], acks: -1 });
}

const now = new Date();
const session = { session: randomUUID(), application: "agent" };
const started = event("usage.session.started", new Date(now - 60_000), session);
const stopped = event("usage.session.stopped", now, session);
const run = event("usage.flow.run", now, { flow: "reset-password", application: "mobile-web" });

await producer.connect();
try {
  await publish("usage.sessions", started);
  await publish("usage.sessions", stopped);
  await publish("usage.flows", run);
  // Whoever is not sure that an event was sent sends the same one again: it counts once.
  await publish("usage.flows", run);
} catch (error) {
  console.error(`Not acknowledged, send these same events again: ${error.message}`);
  process.exitCode = 1;
} finally {
  await producer.disconnect();
}
