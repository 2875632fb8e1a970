// Asks a real Apache Kafka for the facts in this folder (and ../../error/facts.tsv), so that they can be made again for the
// next version. With Kafka's jars in LIBS, from this folder:
//
//     javac -cp "LIBS/*" -d OUT Facts.java && java -cp "OUT:LIBS/*" Facts
//
// values.tsv and whole.tsv are read for their questions (all columns but the answer) and written back with answers.

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.config.*;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.*;
import org.apache.kafka.server.config.*;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Facts {
    static final String BASE = "process.roles=broker,controller;node.id=1;controller.listener.names=CONTROLLER;"
        + "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093;"
        + "controller.quorum.bootstrap.servers=127.0.0.1:9093;log.dirs=/tmp/x";

    static void write(String file, List<String> lines) throws IOException {
        Files.write(Path.of(file), lines, StandardCharsets.UTF_8);
    }

    static String text(String value) {
        return value == null ? "\\N" : value;
    }

    static String defaultOf(ConfigDef.ConfigKey key) {
        return key.defaultValue == ConfigDef.NO_DEFAULT_VALUE
            ? "\\R" : text(ConfigDef.convertToString(key.defaultValue, key.type));
    }

    static void errors() throws IOException {
        List<String> out = new ArrayList<>();
        for (Errors e : Errors.values())
            out.add(e.code() + "\t" + e.name() + "\t"
                + (e.exception() instanceof org.apache.kafka.common.errors.RetriableException));
        write("../../error/facts.tsv", out);
    }

    static void keys() throws IOException {
        Map<String, String> scopes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        List<String> out = new ArrayList<>();
        for (ConfigDef.ConfigKey k : new TreeMap<>(kafka.server.KafkaConfig.configDef().configKeys()).values())
            out.add(String.join("\t", k.name, k.type.toString(), defaultOf(k),
                scopes.getOrDefault(k.name, "read-only"), k.internalConfig ? "internal" : "public"));
        write("broker.tsv", out);
        out = new ArrayList<>();
        for (ConfigDef.ConfigKey k : new TreeMap<>(LogConfig.configKeys()).values()) {
            StringJoiner synonyms = new StringJoiner(" ");
            for (ConfigSynonym s : ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.getOrDefault(k.name, List.of()))
                synonyms.add(s.name() + ":" + s.converter().apply("7"));
            out.add(String.join("\t", k.name, k.type.toString(), defaultOf(k), synonyms.toString(),
                k.internalConfig ? "internal" : "public"));
        }
        write("topic.tsv", out);
    }

    static void values() throws IOException {
        List<String> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("values.tsv"))) {
            String[] f = line.split("\t", -1);
            ConfigDef.ConfigKey key = kafka.server.KafkaConfig.configDef().configKeys().get(f[0]);
            if (key == null) key = LogConfig.configKeys().get(f[0]);
            String answer;
            try {
                Object value = new ConfigDef().define(key).parse(Map.of(f[0], f[1])).get(f[0]);
                answer = "ok " + (key.type == ConfigDef.Type.PASSWORD ? "" : ConfigDef.convertToString(value, key.type));
            } catch (Exception e) {
                answer = "bad";
            }
            out.add(f[0] + "\t" + f[1] + "\t" + answer);
        }
        write("values.tsv", out);
    }

    static void whole() throws IOException {
        List<String> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("whole.tsv"))) {
            String changes = line.split("\t", -1)[0];
            Properties p = new Properties();
            for (String change : (BASE + ";" + changes).split(";")) {
                int at = change.indexOf('=');
                if (at >= 0) p.put(change.substring(0, at), change.substring(at + 1));
                else if (!change.isEmpty()) p.remove(change.substring(1));
            }
            String answer = "ok";
            try {
                kafka.server.KafkaConfig c = kafka.server.KafkaConfig.fromProps(p);
            } catch (Exception e) {
                answer = "bad";
            }
            out.add(changes + "\t" + answer);
        }
        write("whole.tsv", out);
    }

    static Properties load(String file) throws IOException {
        Properties p = new Properties();
        try (Reader r = Files.newBufferedReader(Path.of(file))) {
            p.load(r);
        }
        return p;
    }

    static String row(String resource, DescribeConfigsResponseData.DescribeConfigsResourceResult r) {
        StringJoiner synonyms = new StringJoiner(" ");
        for (var s : r.synonyms()) synonyms.add(s.source() + ":" + s.name() + "=" + text(s.value()));
        return String.join("\t", resource, r.name(), text(r.value()), "" + r.configSource(), r.readOnly() ? "ro" : "rw",
            r.isSensitive() ? "secret" : "open", "" + r.configType(), synonyms.toString());
    }

    static void described() throws IOException {
        kafka.server.KafkaConfig c = kafka.server.KafkaConfig.fromProps(load("static.properties"));
        c.dynamicConfig().initialize(scala.Option.empty());
        c.dynamicConfig().updateDefaultConfig(load("default.properties"), true);
        c.dynamicConfig().updateBrokerConfig(c.nodeId(), load("dynamic.properties"), true);
        kafka.server.ConfigHelper helper = new kafka.server.ConfigHelper(null, c, null);
        List<String> out = new ArrayList<>();
        for (String name : new String[] {"1", ""}) {
            var request = new DescribeConfigsRequestData.DescribeConfigsResource()
                .setResourceName(name).setResourceType(ConfigResource.Type.BROKER.id());
            var requests = scala.jdk.javaapi.CollectionConverters.asScala(List.of(request)).toList();
            helper.describeConfigs(requests, true, false).head().configs().stream()
                .sorted(Comparator.comparing(r -> r.name()))
                .forEach(r -> out.add(row(name.isEmpty() ? "default" : "broker", r)));
        }
        Properties topic = load("topic.properties");
        LogConfig log = LogConfig.fromProps(c.extractLogConfigMap(), topic);
        Map<String, Object> all = new TreeMap<>();
        log.originals().forEach((k, v) -> { if (v != null) all.put(k, v); });
        all.putAll(log.nonInternalValues());
        all.forEach((k, v) -> out.add(row("topic", helper.createTopicConfigEntry(log, topic, true, false, k, v))));
        write("described.tsv", out);
    }

    static String hex(String s) {
        StringBuilder out = new StringBuilder();
        for (char c : s.toCharArray()) out.append(String.format("%04x", (int) c));
        return out.length() == 0 ? "-" : out.toString();
    }

    static String unhex(String s) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; !s.equals("-") && i < s.length(); i += 4)
            out.append((char) Integer.parseInt(s.substring(i, i + 4), 16));
        return out.toString();
    }

    static void properties() throws IOException {
        List<String> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("properties-read.tsv"))) {
            String file = line.split("\t", -1)[0];
            Properties p = new Properties();
            String answer;
            try {
                p.load(new StringReader(unhex(file)));
                StringJoiner pairs = new StringJoiner(" ");
                for (String key : new TreeSet<>(p.stringPropertyNames())) pairs.add(hex(key) + "=" + hex(p.getProperty(key)));
                answer = pairs.length() == 0 ? "none" : pairs.toString();
            } catch (IllegalArgumentException e) {
                answer = "bad";
            }
            out.add(file + "\t" + answer);
        }
        write("properties-read.tsv", out);
        out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("properties-write.tsv"))) {
            String word = line.split("\t", -1)[0];
            Properties p = new Properties();
            p.put(unhex(word), unhex(word));
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            p.store(bytes, null);
            String text = bytes.toString(StandardCharsets.ISO_8859_1);
            out.add(word + "\t" + hex(text.substring(text.indexOf('\n') + 1)));
        }
        write("properties-write.tsv", out);
    }

    public static void main(String[] args) throws Exception {
        errors();
        keys();
        values();
        whole();
        described();
        properties();
    }
}
