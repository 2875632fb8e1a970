package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rebalance keeps groups of members that speak the protocol themselves, a connection each, so that the broker's work is measured and
// not a client library's. A rebalance is what it is for a real group: the leader joins anew, the others hear of it from a heartbeat and
// join, the leader assigns, everybody syncs, and commits an offset. All groups rebalance at the same time, again and again.
func rebalance(o options) (map[string]any, error) {
	if err := coordinator(o); err != nil {
		return nil, err
	}
	groups := make([]*group, o.groups)
	for i := range groups {
		g, err := newGroup(o, fmt.Sprintf("bench-group-%d", i))
		if err != nil {
			return nil, err
		}
		groups[i] = g
	}
	// The first generation, which waits for group.initial.rebalance.delay.ms, and a few more.
	for range 3 {
		if _, err := all(groups, 1); err != nil {
			return nil, err
		}
	}
	gate(o)
	used, begin := cpu(), time.Now()
	took, err := all(groups, o.rounds)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(begin).Seconds()
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1e3 }
	return map[string]any{
		"rebalances": len(took), "seconds": seconds, "rebalances_s": float64(len(took)) / seconds,
		"p50_ms": at(0.5), "p99_ms": at(0.99), "client_cpu_s": cpu() - used,
	}, nil
}

// all has every group rebalance so often, at the same time, and returns how long each rebalance took.
func all(groups []*group, rounds int) ([]time.Duration, error) {
	var wait sync.WaitGroup
	took, errs := make([][]time.Duration, len(groups)), make([]error, len(groups))
	for i, g := range groups {
		wait.Go(func() {
			for range rounds {
				begin := time.Now()
				if errs[i] = g.rebalance(); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	wait.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

type group struct {
	id      string
	members []*member
	leader  int
	began   bool
}

type member struct {
	o          options
	group, id  string
	generation int32
	conn       net.Conn
	format     *kmsg.RequestFormatter
}

func newGroup(o options, id string) (*group, error) {
	g := &group{id: id}
	for range o.members {
		conn, err := net.Dial("tcp", o.broker)
		if err != nil {
			return nil, err
		}
		g.members = append(g.members, &member{o: o, group: id, conn: conn, format: kmsg.NewRequestFormatter()})
	}
	return g, nil
}

// rebalance takes the group to its next generation.
func (g *group) rebalance() error {
	var wait sync.WaitGroup
	errs := make([]error, len(g.members))
	leads := make([]bool, len(g.members))
	ids := make([][]string, len(g.members))
	for i, m := range g.members {
		wait.Go(func() {
			if g.began && i != g.leader {
				if errs[i] = m.awaitRebalance(); errs[i] != nil {
					return
				}
			}
			leads[i], ids[i], errs[i] = m.join()
			if errs[i] == nil {
				errs[i] = m.sync(ids[i])
			}
			if errs[i] == nil {
				errs[i] = m.commit()
			}
		})
	}
	wait.Wait()
	g.began, g.leader = true, slices.Index(leads, true)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if g.leader < 0 {
		return fmt.Errorf("%s has no leader", g.id)
	}
	return nil
}

// awaitRebalance sends heartbeats until one is told to join.
func (m *member) awaitRebalance() error {
	for {
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.Generation = 3, m.group, m.id, m.generation
		answer := kmsg.NewPtrHeartbeatResponse()
		if err := m.ask(r, answer); err != nil {
			return err
		}
		switch err := kerr.ErrorForCode(answer.ErrorCode); err {
		case kerr.RebalanceInProgress:
			return nil
		case nil:
			time.Sleep(time.Millisecond)
		default:
			return err
		}
	}
}

// join returns whether the member leads, and if so the ids of all.
func (m *member) join() (bool, []string, error) {
	for {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.MemberID, r.ProtocolType = 5, m.group, m.id, "consumer"
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30_000, 60_000
		protocol := kmsg.NewJoinGroupRequestProtocol()
		meta := kmsg.NewConsumerMemberMetadata()
		meta.Topics = []string{m.o.topic}
		protocol.Name, protocol.Metadata = "range", meta.AppendTo(nil)
		r.Protocols = append(r.Protocols, protocol)
		answer := kmsg.NewPtrJoinGroupResponse()
		if err := m.ask(r, answer); err != nil {
			return false, nil, err
		}
		m.id = answer.MemberID
		switch err := kerr.ErrorForCode(answer.ErrorCode); err {
		case nil:
			m.generation = answer.Generation
			var ids []string
			for _, other := range answer.Members {
				ids = append(ids, other.MemberID)
			}
			return answer.LeaderID == m.id, ids, nil
		case kerr.MemberIDRequired:
		case kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable:
			time.Sleep(20 * time.Millisecond)
		default:
			return false, nil, fmt.Errorf("join: %w", err)
		}
	}
}

func (m *member) sync(ids []string) error {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 3, m.group, m.id, m.generation
	for _, id := range ids {
		assignment := kmsg.NewSyncGroupRequestGroupAssignment()
		mine := kmsg.NewConsumerMemberAssignment()
		topic := kmsg.NewConsumerMemberAssignmentTopic()
		topic.Topic, topic.Partitions = m.o.topic, []int32{0}
		mine.Topics = append(mine.Topics, topic)
		assignment.MemberID, assignment.MemberAssignment = id, mine.AppendTo(nil)
		r.GroupAssignment = append(r.GroupAssignment, assignment)
	}
	answer := kmsg.NewPtrSyncGroupResponse()
	if err := m.ask(r, answer); err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.ErrorCode)
}

func (m *member) commit() error {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 7, m.group, m.id, m.generation
	topic, partition := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Offset = int64(m.generation)
	topic.Topic, topic.Partitions = m.o.topic, append(topic.Partitions, partition)
	r.Topics = append(r.Topics, topic)
	answer := kmsg.NewPtrOffsetCommitResponse()
	if err := m.ask(r, answer); err != nil {
		return err
	}
	err := kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	if errors.Is(err, kerr.RebalanceInProgress) { // the leader is already on to the next generation
		return nil
	}
	return err
}

// ask sends a request of a version whose header is the old one, and reads its answer.
func (m *member) ask(r kmsg.Request, answer kmsg.Response) error {
	if _, err := m.conn.Write(m.format.AppendRequest(nil, r, 1)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(m.conn, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(m.conn, body); err != nil {
		return err
	}
	answer.SetVersion(r.GetVersion())
	return answer.ReadFrom(body[4:])
}

// coordinator has the broker make its group topic, and the topic that is committed for.
func coordinator(o options) error {
	producer, err := client(o)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := pour(producer, values(16), 1); err != nil {
		return err
	}
	m, err := newGroup(o, "bench-group-0")
	if err != nil {
		return err
	}
	first := m.members[0]
	for {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorKey = 2, first.group
		answer := kmsg.NewPtrFindCoordinatorResponse()
		if err := first.ask(r, answer); err != nil {
			return err
		}
		if answer.ErrorCode == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}
