//go:build unix

package engine_test

import (
	"context"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// BenchmarkMillion compares a room of a million members with one of 1000, in one process. The sockets are simulated: they
// discard the frames and have no memory in the kernel. It reports the heap of a connection, the processor time of a message for
// each member and of a leave and a join in both rooms, the ratios, and the 99th percentile of the garbage collector's pauses. Run it with -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	const large, small, messages, joins = 1_000_000, 1000, 10, 2000
	for b.Loop() {
		base := newHall(b)
		base.enter(b, small)
		message := perOperation(messages*large/small, func() { base.deliver(b) }) / small
		join := perOperation(joins, base.rejoin(b))
		base.stop()

		before, pauses := heapOf(), pausesOf()
		h := newHall(b)
		h.enter(b, large)
		b.ReportMetric((heapOf()-before)/large, "bytes/connection")
		of := perOperation(messages, func() { h.deliver(b) }) / large
		b.ReportMetric(float64(of), "ns/member")
		b.ReportMetric(float64(of)/float64(message), "x/member-of-1000")
		again := perOperation(joins, h.rejoin(b))
		b.ReportMetric(float64(again)/1e3, "us/leave-and-join")
		b.ReportMetric(float64(again)/float64(join), "x/leave-and-join-of-1000")
		b.ReportMetric(since(pauses, pausesOf(), 0.99)*1e3, "ms/pause-p99")
		h.stop()
	}
}

// rejoin returns a function that removes a member from the room and adds it again.
func (h *hall) rejoin(b *testing.B) func() {
	c, room := h.members[len(h.members)/2], cluster.RoomID{Tenant: "default", Room: "r"}
	return func() {
		if err := h.RemoveMember(context.Background(), room, c.ID()); err != nil {
			b.Fatal(err)
		}
		if err := h.AddMember(context.Background(), room, c.ID()); err != nil {
			b.Fatal(err)
		}
	}
}

// perOperation returns the processor time of f in nanoseconds, the garbage collector's share included. It does not count the first
// call, in which the room copies its list of members.
func perOperation(n int, f func()) int64 {
	f()
	begin := processorTime()
	for range n {
		f()
	}
	return int64(processorTime()-begin) / int64(n)
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// pausesOf returns the numbers of the garbage collector's pauses by their lengths.
func pausesOf() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: append([]float64(nil), h.Buckets...)}
}

// since returns the quantile of the pauses between two calls of pausesOf, in seconds, rounded up to the end of a bucket.
func since(begin, end *metrics.Float64Histogram, quantile float64) float64 {
	all, sum := uint64(0), uint64(0)
	for i := range end.Counts {
		all += end.Counts[i] - begin.Counts[i]
	}
	for i := range end.Counts {
		if sum += end.Counts[i] - begin.Counts[i]; float64(sum) >= quantile*float64(all) {
			return end.Buckets[i+1]
		}
	}
	return 0
}
