//! Publishes some usage of an account: `usage-producer ACCOUNT`, with USAGE_KAFKA=host:port.

use std::{env, error::Error, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use cloudevents::{Event, EventBuilder, EventBuilderV10};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::ClientConfig;
use serde_json::{json, Value};
use uuid::Uuid;

type Failure = Box<dyn Error>;

/// Returns an event: its id is made once, and kept however often it is sent.
fn event(account: &str, kind: &str, time: DateTime<Utc>, data: Value) -> Result<Event, Failure> {
    Ok(EventBuilderV10::new()
        .id(Uuid::new_v4().to_string())
        .source("/examples/rust")
        .ty(kind)
        .subject(account)
        .time(time)
        .data("application/json", data)
        .build()?)
}

/// Publishes an event, in structured mode, and waits until every replica in sync has it.
async fn publish(producer: &FutureProducer, topic: &str, account: &str, event: &Event) -> Result<(), Failure> {
    let value = serde_json::to_vec(event)?;
    let kind = Header { key: "content-type", value: Some("application/cloudevents+json") };
    let headers = OwnedHeaders::new().insert(kind);
    let record = FutureRecord::to(topic).key(account).payload(&value).headers(headers);
    producer
        .send(record, Duration::from_secs(30))
        .await
        .map_err(|(error, _)| format!("not acknowledged, send this same event again: {error}"))?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let account = env::args().nth(1).ok_or("usage-producer ACCOUNT")?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", env::var("USAGE_KAFKA")?)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "30000")
        .create()?;

    let now = Utc::now();
    let session = json!({"session": Uuid::new_v4().to_string(), "application": "agent"});
    let started = event(&account, "usage.session.started", now - TimeDelta::minutes(1), session.clone())?;
    let stopped = event(&account, "usage.session.stopped", now, session)?;
    let flow = json!({"flow": "reset-password", "application": "mobile-web"});
    let run = event(&account, "usage.flow.run", now, flow)?;

    publish(&producer, "usage.sessions", &account, &started).await?;
    publish(&producer, "usage.sessions", &account, &stopped).await?;
    publish(&producer, "usage.flows", &account, &run).await?;
    // Whoever is not sure that an event was sent sends the same one again: it counts once.
    publish(&producer, "usage.flows", &account, &run).await?;
    Ok(())
}
