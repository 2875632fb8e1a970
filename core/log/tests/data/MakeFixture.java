// Writes the log in `fixture-0/` and the table `recovered.txt` with Apache Kafka's own classes (`UnifiedLog`, and
// `LogSegment.recover` on copies with one byte changed). Run with the jars of a Kafka 4.3.1 distribution, in Java 17:
//   java -cp '<libs>/*' MakeFixture.java <this folder>
// Timestamps and values are fixed, so the files come out the same each time.

import java.io.File;
import java.io.PrintWriter;
import java.nio.file.*;
import java.util.*;
import java.util.zip.CRC32C;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.epoch.LeaderEpochFileCache;
import org.apache.kafka.storage.internals.log.*;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

public class MakeFixture {
    static final long BEGIN = 1_700_000_000_000L;
    static final int EXPIRATION = Integer.MAX_VALUE;
    static final LogConfig CONFIG = new LogConfig(Map.of(
        "internal.segment.bytes", "16384", "index.interval.bytes", "700", "segment.index.bytes", "1200",
        "message.timestamp.before.max.ms", "" + Long.MAX_VALUE));
    static UnifiedLog log;
    static int count = 0;

    static SimpleRecord[] records(int n) {
        SimpleRecord[] out = new SimpleRecord[n];
        for (int i = 0; i < n; i++) {
            Random random = new Random(count);
            byte[] value = new byte[20 + random.nextInt(180)];
            random.nextBytes(value);
            // Mostly forwards, sometimes back, sometimes none.
            long time = count % 17 == 5 ? -1 : BEGIN + count * 1000L - (count % 7 == 3 ? 60_000 : 0);
            out[i] = new SimpleRecord(time, ("k" + count % 10).getBytes(), value);
            count++;
        }
        return out;
    }

    static void append(MemoryRecords batch, int epoch) throws Exception {
        log.appendAsLeader(batch, epoch, AppendOrigin.CLIENT, RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) -1);
    }

    static void end(long id, int producerEpoch, ControlRecordType type, int coordinator, int epoch, int version) throws Exception {
        MemoryRecords marker = MemoryRecords.withEndTransactionMarker(0, BEGIN + count * 1000L, -1, id, (short) producerEpoch,
            new EndTransactionMarker(type, coordinator));
        log.appendAsLeader(marker, epoch, AppendOrigin.COORDINATOR, RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) version);
    }

    static MemoryRecords txn(long id, int epoch, int sequence, int n) {
        return MemoryRecords.withTransactionalRecords(Compression.NONE, id, (short) epoch, sequence, records(n));
    }

    static MemoryRecords idempotent(long id, int epoch, int sequence, int n) {
        return MemoryRecords.withIdempotentRecords(Compression.NONE, id, (short) epoch, sequence, records(n));
    }

    static void write() throws Exception {
        int sequence = 0;
        for (int round = 0; round < 24; round++) {
            int epoch = round < 9 ? 0 : round < 15 ? 2 : 5;
            append(MemoryRecords.withRecords(Compression.NONE, records(1 + round % 4)), epoch);
            append(MemoryRecords.withRecords(round % 2 == 0 ? Compression.gzip().build() : Compression.lz4().build(), records(5)), epoch);
            append(idempotent(1000, round < 12 ? 0 : 1, round == 12 ? sequence = 0 : sequence, 3), epoch);
            sequence += 3;
            append(txn(2000 + round % 3, round, 0, 2), epoch);
            append(txn(3000, round, 0, 1), epoch);
            append(idempotent(4000 + round, 0, 7, 1), epoch);
            end(2000 + round % 3, round + 1, round % 3 == 1 ? ControlRecordType.COMMIT : ControlRecordType.ABORT, round / 4, epoch, 2);
            end(3000, round, round % 2 == 1 ? ControlRecordType.COMMIT : ControlRecordType.ABORT, round / 4, epoch, 1);
        }
        append(txn(5000, 3, 0, 2), 7);
        append(txn(5001, 3, 0, 2), 7);
    }

    static long crc(Path file) throws Exception {
        CRC32C crc = new CRC32C();
        if (Files.exists(file)) crc.update(Files.readAllBytes(file));
        return crc.getValue();
    }

    /** One byte of one segment is changed; what does Kafka's recovery keep of it, and which indexes does it build? */
    static void damage(File from, File work, long base, int position, PrintWriter out, KafkaScheduler scheduler) throws Exception {
        if (work.exists()) for (File f : work.listFiles()) f.delete();
        work.mkdirs();
        String name = String.format("%020d", base);
        byte[] bytes = Files.readAllBytes(from.toPath().resolve(name + ".log"));
        if (position >= 0) bytes[position] ^= 0x55;
        Files.write(work.toPath().resolve(name + ".log"), bytes);
        Path snapshot = from.toPath().resolve(name + ".snapshot");
        if (Files.exists(snapshot)) Files.copy(snapshot, work.toPath().resolve(name + ".snapshot"));
        TopicPartition tp = new TopicPartition("fixture", 0);
        ProducerStateManager producers = new ProducerStateManager(tp, work, 900000, new ProducerStateManagerConfig(EXPIRATION, false), Time.SYSTEM);
        producers.truncateAndReload(0, base, BEGIN);
        LeaderEpochFileCache epochs = new LeaderEpochFileCache(tp, new LeaderEpochCheckpointFile(new File(work, "leader-epoch-checkpoint"), new LogDirFailureChannel(1)), scheduler);
        LogSegment segment = LogSegment.open(work, base, CONFIG, Time.SYSTEM, 0, false);
        segment.recover(producers, epochs);
        producers.takeSnapshot();
        segment.close();
        long end = producers.mapEndOffset();
        StringBuilder rows = new StringBuilder();
        epochs.epochEntries().forEach(e -> rows.append(e.epoch()).append('@').append(e.startOffset()).append(','));
        out.println(String.join(" ", "" + base, "" + position, "" + Files.size(work.toPath().resolve(name + ".log")), "" + end,
            "" + crc(work.toPath().resolve(name + ".index")), "" + crc(work.toPath().resolve(name + ".timeindex")),
            "" + crc(work.toPath().resolve(name + ".txnindex")), rows.length() == 0 ? "-" : rows.toString()));
    }

    public static void main(String[] args) throws Exception {
        File data = new File(args[0]).getCanonicalFile();
        File dir = new File(data, "fixture-0");
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        log = UnifiedLog.create(dir, CONFIG, 0, 0, scheduler, new BrokerTopicStats(), Time.SYSTEM, 900000,
            new ProducerStateManagerConfig(EXPIRATION, false), Integer.MAX_VALUE, new LogDirFailureChannel(1), true, Optional.empty());
        write();
        log.flush(true);
        log.close();
        File[] segments = dir.listFiles((d, n) -> n.endsWith(".log"));
        Arrays.sort(segments);
        File work = new File(data, "work-0");
        try (PrintWriter out = new PrintWriter(new File(data, "recovered.txt"))) {
            out.println("# segment, byte changed (-1: none), then after Kafka's recovery: log size, end offset, CRC-32C of index, time index and txn index, epochs");
            for (File f : segments) {
                long base = Long.parseLong(f.getName().substring(0, 20));
                damage(dir, work, base, -1, out, scheduler);
                for (int i = 0; i < 8; i++) damage(dir, work, base, (int) (f.length() * (2 * i + 1) / 16), out, scheduler);
            }
        }
        for (File f : work.listFiles()) f.delete();
        work.delete();
        scheduler.shutdown();
    }
}
