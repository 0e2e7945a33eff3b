// Publishes some usage of an account: producer ACCOUNT, with USAGE_KAFKA=host:port.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newEvent returns an event: its id is made once, and kept however often it is sent.
func newEvent(account, kind string, at time.Time, data map[string]string) cloudevents.Event {
	event := cloudevents.NewEvent()
	event.SetID(uuid.NewString())
	event.SetSource("/examples/go")
	event.SetType(kind)
	event.SetSubject(account)
	event.SetTime(at)
	if err := event.SetData(cloudevents.ApplicationJSON, data); err != nil {
		log.Fatal(err)
	}
	return event
}

// record returns an event as a record, in structured mode.
func record(topic string, event cloudevents.Event) *kgo.Record {
	value, err := json.Marshal(event)
	if err != nil {
		log.Fatal(err)
	}
	headers := []kgo.RecordHeader{
		{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")},
	}
	return &kgo.Record{Topic: topic, Key: []byte(event.Subject()), Value: value, Headers: headers}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("producer ACCOUNT")
	}
	account := os.Args[1]
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("USAGE_KAFKA"), ",")...),
		// An event is acknowledged when every replica in sync has it. This and idempotent writes
		// are the defaults of franz-go.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	now := time.Now().UTC()
	session := map[string]string{"session": uuid.NewString(), "application": "agent"}
	started := newEvent(account, "usage.session.started", now.Add(-time.Minute), session)
	stopped := newEvent(account, "usage.session.stopped", now, session)
	flow := map[string]string{"flow": "reset-password", "application": "mobile-web"}
	run := newEvent(account, "usage.flow.run", now, flow)
	records := []*kgo.Record{
		record("usage.sessions", started),
		record("usage.sessions", stopped),
		record("usage.flows", run),
		// Whoever is not sure that an event was sent sends the same one again: it counts once.
		record("usage.flows", run),
	}
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		log.Fatalf("Not acknowledged, send these same events again: %v", err)
	}
}
