package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// e2e produces at a fixed rate and consumes at the same time. A record's latency runs from the moment it is handed to the producer
// to the moment the consumer has it. The generator never waits for the broker, so a stall shows in every record made during it; how
// far it fell behind its own schedule is reported as late_ms.
func e2e(o options) (map[string]any, error) {
	producer, err := client(o)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	if err := pour(producer, values(o.record), 1); err != nil { // the topic exists from here on
		return nil, err
	}
	at := map[string]map[int32]kgo.Offset{o.topic: {0: kgo.NewOffset().AtEnd()}}
	consumer, err := client(o, kgo.ConsumePartitions(at), kgo.FetchMinBytes(1))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	time.Sleep(500 * time.Millisecond) // the consumer's first look at the end

	run := newPaced(producer, consumer, o)
	if o.warmFor > 0 {
		if _, err := run.part(o.warmFor); err != nil {
			return nil, err
		}
	}
	gate(o)
	used := cpu()
	return run.part(o.duration, used)
}

type paced struct {
	o        options
	zero     time.Time
	producer *kgo.Client
	seen     chan time.Duration
	failed   atomic.Pointer[error]
	value    []byte
}

func newPaced(producer, consumer *kgo.Client, o options) *paced {
	p := &paced{o: o, zero: time.Now(), producer: producer, seen: make(chan time.Duration, 1<<20), value: values(o.record)[0]}
	go func() {
		for {
			fetches := consumer.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			if err := fetches.Err(); err != nil {
				p.failed.Store(&err)
				return
			}
			now := time.Since(p.zero)
			fetches.EachRecord(func(r *kgo.Record) {
				if len(r.Value) >= 16 && binary.BigEndian.Uint64(r.Value[8:]) == mark {
					p.seen <- now - time.Duration(binary.BigEndian.Uint64(r.Value))
				}
			})
		}
	}()
	return p
}

// mark tells paced records from others.
const mark = 0x6f74746c61_e2e

// part runs for a while and waits until every record of it has come back.
func (p *paced) part(length time.Duration, used ...float64) (map[string]any, error) {
	step := time.Second / time.Duration(p.o.rate)
	count := int(length / step)
	latencies := make([]float64, 0, count)
	collected := make(chan error, 1)
	go func() {
		quiet := time.NewTimer(length + 20*time.Second)
		for len(latencies) < count {
			select {
			case d := <-p.seen:
				latencies = append(latencies, float64(d)/1e6)
			case <-quiet.C:
				err := fmt.Errorf("%d of %d records came back", len(latencies), count)
				if cause := p.failed.Load(); cause != nil {
					err = fmt.Errorf("%w: %w", err, *cause)
				}
				collected <- err
				return
			}
		}
		collected <- nil
	}()
	began, late := time.Now(), time.Duration(0)
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			p.failed.Store(&err)
		}
	}
	for i := range count {
		due := time.Duration(i) * step
		if early := due - time.Since(began); early > 0 {
			time.Sleep(early)
		}
		late = max(late, time.Since(began)-due)
		value := slices.Clone(p.value)
		binary.BigEndian.PutUint64(value, uint64(time.Since(p.zero)))
		binary.BigEndian.PutUint64(value[8:], mark)
		p.producer.Produce(context.Background(), &kgo.Record{Value: value}, done)
	}
	if err := <-collected; err != nil {
		return nil, err
	}
	if err := p.failed.Load(); err != nil {
		return nil, *err
	}
	took := time.Since(began).Seconds()
	slices.Sort(latencies)
	quantile := func(q float64) float64 { return latencies[min(len(latencies)-1, int(q*float64(len(latencies))))] }
	result := map[string]any{
		"bytes": int64(count) * int64(p.o.record), "seconds": took, "records": count,
		"p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "p999_ms": quantile(0.999), "max_ms": latencies[len(latencies)-1],
		"late_ms": late.Seconds() * 1e3,
	}
	if len(used) > 0 {
		result["client_cpu_s"] = cpu() - used[0]
	}
	return result, nil
}

// start runs the broker's command and says how long it took from there to the first acknowledged record.
func start(o options) (map[string]any, error) {
	if len(o.command) == 0 {
		return nil, fmt.Errorf("start needs the broker's command behind --")
	}
	runtime.LockOSThread() // Pdeathsig means the death of the thread that started it
	broker := exec.Command(o.command[0], o.command[1:]...)
	broker.Stdout, broker.Stderr = os.Stderr, os.Stderr
	broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := broker.Start(); err != nil {
		return nil, err
	}
	for {
		conn, err := net.Dial("tcp", o.broker)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(began) > time.Minute {
			return nil, fmt.Errorf("the broker does not listen: %w", err)
		}
		time.Sleep(500 * time.Microsecond)
	}
	listening := time.Since(began)
	c, err := client(o, kgo.RetryBackoffFn(func(int) time.Duration { return 2 * time.Millisecond }),
		kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := pour(c, values(o.record), 1); err != nil {
		return nil, err
	}
	took := time.Since(began)
	return map[string]any{
		"pid": broker.Process.Pid, "listening_ms": listening.Seconds() * 1e3, "start_ms": took.Seconds() * 1e3,
	}, nil
}
