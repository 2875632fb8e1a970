// Puts each line of inputs.txt through Kafka's own converters, and writes beside it what they make of it: vectors.tsv, which
// tests/vectors.rs compares with ours. Run it with Kafka 4.3.1's libraries on the class path:
//   TZ=UTC java -cp 'libs/*' MakeVectors.java <inputs.txt >vectors.tsv
// An input is a mode and a message: `S` for JsonConverter with schemas, `P` without, `N` with schemas and numeric decimals.
// An output has the input, the value as String.valueOf prints it (as a JSON text), and the bytes written back; or the word ERROR.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;

public class MakeVectors {
    static JsonConverter converter(boolean schemas, String decimals) {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", schemas, "decimal.format", decimals), false);
        return converter;
    }

    public static void main(String[] args) throws Exception {
        Map<String, JsonConverter> converters = Map.of(
            "S", converter(true, "BASE64"), "P", converter(false, "BASE64"), "N", converter(true, "NUMERIC"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line; (line = in.readLine()) != null; ) {
            if (line.isEmpty() || line.startsWith("#")) continue;
            JsonConverter converter = converters.get(line.substring(0, 1));
            String result;
            try {
                SchemaAndValue data = converter.toConnectData("t", line.substring(2).getBytes(StandardCharsets.UTF_8));
                byte[] back = converter.fromConnectData("t", data.schema(), data.value());
                byte[] printed = converters.get("P").fromConnectData("t", Schema.STRING_SCHEMA, String.valueOf(data.value()));
                result = new String(printed, StandardCharsets.UTF_8) + "\t" + (back == null ? "NULL" : new String(back, StandardCharsets.UTF_8));
            } catch (RuntimeException e) {
                result = "ERROR";
            }
            out.println(line + "\t" + result);
        }
        out.flush();
    }
}
