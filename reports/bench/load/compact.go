package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The ratio that no log exceeds: a topic is filled under it, and cleaned once it is lowered.
const never, always = "1.0", "0.01"

// compact fills a compacted topic of keys that come up at random, lets the broker clean it, and waits until its cleaner's checkpoint
// says that all but the active segment is clean. What it reports are the bytes that were there to clean.
func compact(o options) (map[string]any, error) {
	c, err := client(o)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := createCompacted(c, o); err != nil {
		return nil, err
	}
	if err := pourKeys(c, o); err != nil {
		return nil, err
	}
	before, err := closedBytes(o)
	if err != nil {
		return nil, err
	}
	gate(o)
	began, used := time.Now(), cpu()
	if err := setRatio(c, o); err != nil {
		return nil, err
	}
	for !clean(o) {
		if time.Since(began) > 10*time.Minute {
			return nil, fmt.Errorf("not clean after ten minutes")
		}
		time.Sleep(5 * time.Millisecond)
	}
	result := moved(before, began, used)
	after, err := closedBytes(o)
	if err != nil {
		return nil, err
	}
	result["left_mib"] = float64(after) / (1 << 20)
	return result, nil
}

func createCompacted(c *kgo.Client, o options) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = o.topic, 1, 1
	for name, value := range map[string]string{
		"cleanup.policy": "compact", "segment.bytes": strconv.Itoa(64 << 20), "min.cleanable.dirty.ratio": never,
	} {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, config)
	}
	request.Topics = append(request.Topics, topic)
	request.TimeoutMillis = 10_000
	answer, err := request.RequestWith(context.Background(), c)
	if err != nil {
		return err
	}
	for _, topic := range answer.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("create %s: %w", topic.Topic, err)
		}
	}
	return nil
}

func setRatio(c *kgo.Client, o options) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, o.topic
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op, config.Value = "min.cleanable.dirty.ratio", kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr(always)
	resource.Configs = append(resource.Configs, config)
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(context.Background(), c)
	if err != nil {
		return err
	}
	for _, resource := range answer.Resources {
		if err := kerr.ErrorForCode(resource.ErrorCode); err != nil {
			return fmt.Errorf("alter %s: %w", resource.ResourceName, err)
		}
	}
	return nil
}

// pourKeys produces the bytes, each record under one of the keys.
func pourKeys(c *kgo.Client, o options) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	all, random := values(o.record), rand.New(rand.NewPCG(3, 4))
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("produce: %w", err))
		}
	}
	var sent int64
	for i := 0; sent < o.bytes && ctx.Err() == nil; i++ {
		value := all[i%len(all)]
		key := fmt.Appendf(nil, "key-%012d", random.IntN(o.keys))
		sent += int64(len(value))
		c.Produce(ctx, &kgo.Record{Key: key, Value: value}, done)
	}
	if err := c.Flush(context.Background()); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// segments are the base offsets and the files of the topic's log.
func segments(o options) (map[int64]string, int64) {
	found, active := map[int64]string{}, int64(-1)
	paths, _ := filepath.Glob(filepath.Join(o.data, o.topic+"-0", "*.log"))
	for _, path := range paths {
		base, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 64)
		if err == nil {
			found[base], active = path, max(active, base)
		}
	}
	return found, active
}

// closedBytes is the size of all segments but the active one.
func closedBytes(o options) (int64, error) {
	found, active := segments(o)
	if active < 0 {
		return 0, fmt.Errorf("no log of %s in %q: say -data", o.topic, o.data)
	}
	var sum int64
	for base, path := range found {
		if info, err := os.Stat(path); err == nil && base != active {
			sum += info.Size()
		}
	}
	return sum, nil
}

// clean says whether the cleaner's checkpoint has reached the active segment.
func clean(o options) bool {
	_, active := segments(o)
	text, err := os.ReadFile(filepath.Join(o.data, "cleaner-offset-checkpoint"))
	if err != nil {
		return false
	}
	return strings.Contains(string(text), fmt.Sprintf("%s 0 %d\n", o.topic, active))
}
