import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.kafka.CloudEventSerializer;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Publishes some usage of an account: Publish ACCOUNT, with USAGE_KAFKA=host:port. */
public final class Publish {
  private Publish() {}

  public static void main(String[] arguments) throws InterruptedException {
    String account = arguments[0];
    OffsetDateTime now = OffsetDateTime.now(ZoneOffset.UTC);
    String session =
        "{\"session\": \"%s\", \"application\": \"agent\"}".formatted(UUID.randomUUID());
    CloudEvent started = event(account, "usage.session.started", now.minusMinutes(1), session);
    CloudEvent stopped = event(account, "usage.session.stopped", now, session);
    String flow = "{\"flow\": \"reset-password\", \"application\": \"mobile-web\"}";
    CloudEvent run = event(account, "usage.flow.run", now, flow);

    try (Producer<String, CloudEvent> producer = producer()) {
      List<Future<RecordMetadata>> sent =
          List.of(
              producer.send(new ProducerRecord<>("usage.sessions", account, started)),
              producer.send(new ProducerRecord<>("usage.sessions", account, stopped)),
              producer.send(new ProducerRecord<>("usage.flows", account, run)),
              // Whoever is not sure that an event was sent sends the same one again: it counts once.
              producer.send(new ProducerRecord<>("usage.flows", account, run)));
      for (Future<RecordMetadata> each : sent) {
        each.get();
      }
    } catch (ExecutionException error) {
      System.err.println("Not acknowledged, send these same events again: " + error.getCause());
      System.exit(1);
    }
  }

  /** Returns a producer of events in binary mode, which the SDK's serializer chooses. */
  private static Producer<String, CloudEvent> producer() {
    return new KafkaProducer<>(
        Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("USAGE_KAFKA"),
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 30_000,
            ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 10_000,
            ProducerConfig.MAX_BLOCK_MS_CONFIG, 10_000,
            ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class,
            ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, CloudEventSerializer.class));
  }

  /** Returns an event: its id is made once, and kept however often it is sent. */
  private static CloudEvent event(String account, String type, OffsetDateTime time, String data) {
    return CloudEventBuilder.v1()
        .withId(UUID.randomUUID().toString())
        .withSource(URI.create("/examples/java"))
        .withType(type)
        .withSubject(account)
        .withTime(time)
        .withData("application/json", data.getBytes(StandardCharsets.UTF_8))
        .build();
  }
}
