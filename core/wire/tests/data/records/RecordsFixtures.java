// Writes the batches in this folder with Kafka's own classes, and reads batches of the same records. See README.md.
import java.io.*;
import java.nio.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.compress.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class RecordsFixtures {
    static final int[] SIZES = {0, 1, 10, 100, 1000, 70000, 63, 64, 8191, 8192};
    static final long BASE = 1700000000000L;

    static byte[] pattern(int i, int n) {
        byte[] b = new byte[n];
        for (int j = 0; j < n; j++) b[j] = (byte) (j / 64 * 7 + i * 31);
        return b;
    }
    static SimpleRecord record(int i) {
        byte[] key = i % 3 == 0 ? null : i % 3 == 1 ? ("key-" + i).getBytes(StandardCharsets.UTF_8) : new byte[0];
        byte[] value = i % 7 == 6 ? null : pattern(i, SIZES[i % SIZES.length]);
        List<Header> hs = new ArrayList<>();
        for (int h = 0; h < i % 4; h++)
            hs.add(new RecordHeader("h\u00e9" + h, h == 1 ? null : pattern(h, h * 40)));
        long ts = i == 5 ? -1 : BASE + (i * 7919L % 5000) - 2000;
        return new SimpleRecord(ts, key, value, hs.toArray(new Header[0]));
    }
    static Compression compression(String n) {
        return Compression.of(n).build();
    }
    static byte[] bytes(MemoryRecords r) {
        ByteBuffer b = r.buffer().duplicate();
        byte[] out = new byte[b.remaining()];
        b.get(out);
        return out;
    }
    static byte[] batch(Compression c, TimestampType t, long pid, short epoch, int seq, boolean txn, int n, long baseOffset, int leaderEpoch) {
        MemoryRecordsBuilder b = MemoryRecords.builder(ByteBuffer.allocate(1024), (byte) 2, c, t, baseOffset,
            t == TimestampType.LOG_APPEND_TIME ? BASE + 99 : -1L, pid, epoch, seq, txn, leaderEpoch);
        for (int i = 0; i < n; i++) b.append(record(i));
        return bytes(b.build());
    }
    static void write(Path dir) throws Exception {
        Files.createDirectories(dir);
        for (String n : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Files.write(dir.resolve("java-" + n + ".bin"),
                batch(compression(n), TimestampType.CREATE_TIME, 4000L, (short) 3, Integer.MAX_VALUE - 4, true, 12, 0, -1));
        }
        Files.write(dir.resolve("java-log-append-time.bin"),
            batch(Compression.NONE, TimestampType.LOG_APPEND_TIME, -1L, (short) -1, -1, false, 5, 1234567890123L, 17));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(bytes(MemoryRecords.withEndTransactionMarker(100L, BASE, 3, 4000L, (short) 7, new EndTransactionMarker(ControlRecordType.COMMIT, 12))));
        out.write(bytes(MemoryRecords.withEndTransactionMarker(101L, BASE, 3, 4000L, (short) 7, new EndTransactionMarker(ControlRecordType.ABORT, 12))));
        Files.write(dir.resolve("java-markers.bin"), out.toByteArray());
    }
    static String hex(byte[] b) { return b == null ? "null" : b.length + ":" + Arrays.hashCode(b); }
    static String describe(long ts, byte[] k, byte[] v, Header[] hs) {
        StringBuilder s = new StringBuilder(ts + " " + hex(k) + " " + hex(v));
        for (Header h : hs) s.append(" ").append(h.key()).append("=").append(hex(h.value()));
        return s.toString();
    }
    static byte[] arr(ByteBuffer b) { if (b == null) return null; byte[] o = new byte[b.remaining()]; b.duplicate().get(o); return o; }
    static void read(Path dir) throws Exception {
        File[] files = dir.toFile().listFiles();
        Arrays.sort(files);
        for (File f : files) {
            MemoryRecords r = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(f.toPath())));
            int n = 0, bad = 0;
            for (RecordBatch b : r.batches()) {
                b.ensureValid();
                for (org.apache.kafka.common.record.internal.Record x : b) {
                    SimpleRecord e = record(n);
                    String want = describe(e.timestamp(), arr(e.key()), arr(e.value()), e.headers());
                    String got = describe(x.timestamp(), arr(x.key()), arr(x.value()), x.headers());
                    if (!want.equals(got)) { bad++; System.out.println("want " + want + "\n got " + got); }
                    if (x.offset() != n) bad++;
                    n++;
                }
                System.out.println(f.getName() + " " + b.compressionType() + " " + n + " records, " + bad + " differ, seq " + b.baseSequence() + ".." + b.lastSequence());
            }
        }
    }
    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "write" -> write(Path.of(a[1]));
            case "read" -> read(Path.of(a[1]));
        }
    }
}
