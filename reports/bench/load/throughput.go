package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// values are payloads of n bytes of which a codec can take about half away: one half is random and differs from value to value, the
// other is the same letter. There are enough of them that LZ4's window never holds the same one twice.
func values(n int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	count := max(64, (4<<20)/n)
	all := make([][]byte, count)
	for i := range all {
		value := make([]byte, n)
		for j := range value {
			if value[j] = 'o'; j < n/2 {
				value[j] = byte(random.Uint32())
			}
		}
		all[i] = value
	}
	return all
}

// pour produces bytes of values as fast as they are taken and returns when each is acknowledged.
func pour(c *kgo.Client, all [][]byte, bytes int64) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	pool := sync.Pool{New: func() any { return new(kgo.Record) }}
	var acked atomic.Int64
	done := func(r *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("produce: %w", err))
			return
		}
		acked.Add(int64(len(r.Value)))
		*r = kgo.Record{}
		pool.Put(r)
	}
	var sent int64
	for i := 0; sent < bytes; i++ {
		r := pool.Get().(*kgo.Record)
		r.Value = all[i%len(all)]
		sent += int64(len(r.Value))
		c.Produce(ctx, r, done)
		if i%1024 == 0 && ctx.Err() != nil {
			break
		}
	}
	if err := c.Flush(context.Background()); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if acked.Load() != sent {
		return fmt.Errorf("%d of %d bytes were acknowledged", acked.Load(), sent)
	}
	return nil
}

func produce(o options) (map[string]any, error) {
	c, err := client(o)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all := values(o.record)
	if err := pour(c, all, max(o.warm, 1)); err != nil {
		return nil, err
	}
	gate(o)
	began, used := time.Now(), cpu()
	if err := pour(c, all, o.bytes); err != nil {
		return nil, err
	}
	return moved(o.bytes, began, used), nil
}

// drain reads bytes of values, from wherever the client stands.
func drain(c *kgo.Client, bytes int64) error {
	for bytes > 0 {
		fetches := c.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { bytes -= int64(len(r.Value)) })
	}
	return nil
}

func consume(o options) (map[string]any, error) {
	// A client for each part, so that nothing of the measured part is fetched ahead of it.
	reader := func() (*kgo.Client, error) {
		from := map[string]map[int32]kgo.Offset{o.topic: {0: kgo.NewOffset().AtStart()}}
		return client(o, kgo.ConsumePartitions(from), kgo.FetchMaxPartitionBytes(int32(o.fetchPartition)),
			kgo.FetchMaxBytes(int32(o.fetchMax)), kgo.FetchMinBytes(int32(o.min)))
	}
	if o.warm > 0 {
		c, err := reader()
		if err != nil {
			return nil, err
		}
		if err := drain(c, o.warm); err != nil {
			return nil, err
		}
		c.Close()
	}
	gate(o)
	began, used := time.Now(), cpu()
	c, err := reader()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := drain(c, o.bytes); err != nil {
		return nil, err
	}
	return moved(o.bytes, began, used), nil
}

func moved(bytes int64, began time.Time, used float64) map[string]any {
	took := time.Since(began).Seconds()
	return map[string]any{
		"bytes": bytes, "seconds": took, "mb_s": float64(bytes) / 1e6 / took, "client_cpu_s": cpu() - used,
	}
}
