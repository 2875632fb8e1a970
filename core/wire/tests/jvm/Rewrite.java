// Kafka itself as the judge of our bytes: reads lines `CLASS VERSION HEX`, has Kafka's class read the bytes and write them
// again, and fails unless every result is equal and nothing is left over. Needs the jars of Apache Kafka 4.3.1.
//
//   cargo run -p ottla-wire --features testgen --example jvm_cases -- 50 | java -cp 'LIBS/*' core/wire/tests/jvm/Rewrite.java

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

public class Rewrite {
    static String rewrite(String name, short version, byte[] bytes) throws Exception {
        Message message = (Message) Class.forName(name).getConstructor().newInstance();
        ByteBuffer input = ByteBuffer.wrap(bytes);
        message.read(new ByteBufferAccessor(input), version);
        if (input.remaining() > 0) {
            return input.remaining() + " bytes left";
        }
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer output = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(output), cache, version);
        return HexFormat.of().formatHex(output.array());
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        int equal = 0;
        int different = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", 3);
            String result;
            try {
                result = rewrite(words[0], Short.parseShort(words[1]), HexFormat.of().parseHex(words[2]));
            } catch (Throwable error) {
                result = error.toString();
            }
            if (result.equals(words[2])) {
                equal++;
            } else {
                different++;
                System.out.println(words[0] + " " + words[1] + "\n ours   " + words[2] + "\n kafka  " + result);
            }
        }
        System.out.println(equal + " equal, " + different + " different");
        System.exit(different == 0 && equal > 0 ? 0 : 1);
    }
}
