import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: counters in a cached store on disk, with a changelog topic.
 *
 * <p>PEER_GUARANTEE is at_least_once or exactly_once_v2. The records' keys are the accounts, so each
 * account is counted in one task and nothing is repartitioned.
 */
public final class Counts {
  private static final String STORE = "counts";

  public static void main(String[] arguments) {
    Map<String, String> told = System.getenv();
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, told.get("PEER_GROUP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told.get("PEER_KAFKA"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, told.get("PEER_FOLDER"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, told.get("PEER_GUARANTEE"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, told.getOrDefault("PEER_THREADS", "1"));
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");

    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.Long())
            .withCachingEnabled()
            .withLoggingEnabled(Map.of()));
    builder
        .stream(
            List.of(told.get("PEER_TOPICS").split(",")),
            Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .process(Counter::new, STORE);

    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }

  /** Adds each event to its counter, named "account day metric". */
  private static final class Counter extends ContextualProcessor<byte[], byte[], Void, Void> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private KeyValueStore<String, Long> store;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      super.init(context);
      store = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      JsonNode event = read(record.value());
      JsonNode data = event.get("data");
      long amount = 1;
      String metric;
      switch (event.get("type").textValue()) {
        case "usage.flow.run" -> metric = "runs." + data.get("application").textValue();
        case "usage.assist.clicked" -> metric = "clicks." + data.get("service").textValue();
        case "usage.call.minutes" -> {
          metric = "call.minutes";
          amount = Math.round(data.get("minutes").doubleValue() * 1000);
        }
        case "usage.sms.sent" -> metric = data.get("link").booleanValue() ? "sms.link" : "sms.plain";
        case "usage.session.started" -> metric = "sessions";
        default -> metric = "sessions.stopped";
      }
      String day = event.get("time").textValue().substring(0, 10);
      String key = event.get("subject").textValue() + " " + day + " " + metric;
      Long known = store.get(key);
      store.put(key, known == null ? amount : known + amount);
    }

    private static JsonNode read(byte[] value) {
      try {
        return JSON.readTree(value);
      } catch (IOException broken) {
        throw new UncheckedIOException(broken);
      }
    }
  }
}
