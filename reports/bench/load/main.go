// Command load is the native load generator of the benchmark: franz-go, idempotent, acks=all, one partition.
//
//	load produce|consume|e2e|start|compact|rebalance [flags] [-- command of the broker]
//
// It prints one JSON object with its result. With -gate it first prints READY when everything is connected and warm, and waits for a
// line on its stdin, so that the caller can look at the broker's CPU time right before and right after the measured part.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// options are the flags; not every mode uses each.
type options struct {
	broker, topic, codec, data    string
	record, batch                 int
	bytes, warm                   int64
	linger, duration, warmFor     time.Duration
	rate, keys                    int
	groups, members, rounds       int
	fetchPartition, fetchMax, min int
	gate                          bool
	command                       []string
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("say what to do: produce, consume, e2e, start, compact or rebalance"))
	}
	o := parse(os.Args[1], os.Args[2:])
	modes := map[string]func(options) (map[string]any, error){
		"produce": produce, "consume": consume, "e2e": e2e, "start": start, "compact": compact, "rebalance": rebalance,
	}
	mode, ok := modes[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("%q is none of produce, consume, e2e, start, compact, rebalance", os.Args[1]))
	}
	result, err := mode(o)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
	if os.Args[1] == "start" {
		waitForLine() // the broker is our child: it lives until the caller has looked at it
	}
}

func parse(mode string, args []string) options {
	var o options
	f := flag.NewFlagSet(mode, flag.ExitOnError)
	f.StringVar(&o.broker, "broker", "127.0.0.1:9092", "address of the broker")
	f.StringVar(&o.topic, "topic", "bench", "topic; made by the broker if it makes topics by itself")
	f.StringVar(&o.codec, "codec", "none", "none, gzip, snappy, lz4 or zstd")
	f.IntVar(&o.record, "record", 1024, "bytes of a record's value")
	f.IntVar(&o.batch, "batch", 1<<20, "most bytes of a batch")
	f.Int64Var(&o.bytes, "bytes", 1<<30, "bytes of values to move in the measured part")
	f.Int64Var(&o.warm, "warm", 0, "bytes of values to move before it")
	f.DurationVar(&o.linger, "linger", 0, "how long a batch may wait to fill")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "length of the measured part (e2e)")
	f.DurationVar(&o.warmFor, "warm-for", 0, "length of the part before it (e2e)")
	f.IntVar(&o.rate, "rate", 10_000, "records a second (e2e)")
	f.IntVar(&o.groups, "groups", 200, "groups (rebalance)")
	f.IntVar(&o.members, "members", 5, "members of each (rebalance)")
	f.IntVar(&o.rounds, "rounds", 20, "how often each group rebalances in the measured part (rebalance)")
	f.IntVar(&o.fetchPartition, "fetch-partition", 4<<20, "most bytes of a partition in one fetch")
	f.IntVar(&o.fetchMax, "fetch-max", 32<<20, "most bytes of one fetch")
	f.IntVar(&o.min, "fetch-min", 1, "least bytes of one fetch")
	f.IntVar(&o.keys, "keys", 200_000, "different keys (compact)")
	f.StringVar(&o.data, "data", "", "the broker's log directory (compact)")
	f.BoolVar(&o.gate, "gate", false, "print READY and wait for a line before the measured part")
	_ = f.Parse(args)
	o.command = f.Args()
	return o
}

// client makes a client of the broker; extra options come last.
func client(o options, more ...kgo.Opt) (*kgo.Client, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[o.codec]
	if !ok {
		return nil, fmt.Errorf("%q is no codec", o.codec)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.broker),
		kgo.DefaultProduceTopic(o.topic),
		kgo.AllowAutoTopicCreation(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(int32(o.batch)),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(o.linger),
		kgo.MaxBufferedRecords(1 << 20),
		kgo.MaxBufferedBytes(64 << 20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableClientMetrics(),
	}
	return kgo.NewClient(append(opts, more...)...)
}

// gate tells the caller that the measured part is about to begin and waits for its word.
func gate(o options) {
	if o.gate {
		fmt.Println("READY")
		waitForLine()
	}
}

func waitForLine() { _, _ = bufio.NewReader(os.Stdin).ReadString('\n') }

// cpu is what this process has used, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}
