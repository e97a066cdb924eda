package fanout

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/fanout/fanouttest"
	"github.com/mootchat/moot/engine/wire"
)

// readers opens outboxes of a tenant whose sockets are full.
func readers(ws *Writers, tenant string, n int, slow *atomic.Int32) (all []*Outbox, sinks []*fanouttest.Sink) {
	for range n {
		s, o := fanouttest.NewSink(wire.WebSocket), new(Outbox)
		s.Room(0)
		ws.Open(o, OutboxConfig{Sink: s, Tenant: tenant, Bytes: 1 << 20, WriteTimeout: time.Hour, Slow: func() { slow.Add(1) }})
		all, sinks = append(all, o), append(sinks, s)
	}
	return all, sinks
}

func frameOf(bytes int) *wire.Frame { return wire.FrameOf([]byte(strings.Repeat("x", bytes))) }

// TestWhatWaitsForSlowReadersIsBounded checks that slow readers of many tenants together hold no
// more than the limit of the node, that a tenant which uses little keeps its slow reader meanwhile,
// and that nothing stays counted at the end.
func TestWhatWaitsForSlowReadersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, frame = 8 << 20, 32 << 10
		ws := NewWriters(2)
		ws.SetMemory(limit)
		stopped := make(chan struct{})
		go func() { ws.Run(); close(stopped) }()
		var slow, little atomic.Int32
		var all []*Outbox
		var sinks []*fanouttest.Sink
		for _, tenant := range []string{"a", "b", "c"} {
			o, s := readers(ws, tenant, 40, &slow)
			all, sinks = append(all, o...), append(sinks, s...)
		}
		quiet, quietSinks := readers(ws, "quiet", 1, &little)
		most := int64(0)
		for i := range 20 {
			for _, o := range all {
				o.Send(frameOf(frame))
				synctest.Wait()
				used, _ := ws.Memory()
				most = max(most, used)
			}
			if i < 10 {
				quiet[0].Send(frameOf(frame))
				synctest.Wait()
			}
			time.Sleep(slowTime)
		}
		used, closed := ws.Memory()
		// Each reader may have slowBytes before it counts as slow, for a moment.
		if most > limit+120*(slowBytes+frame) || used > limit {
			t.Errorf("slow readers hold %d bytes, and held %d, want at most %d", used, most, limit)
		}
		if n := slow.Load(); n == 0 || uint64(n) != closed {
			t.Errorf("%d readers were given up, and %d counted", n, closed)
		}
		if little.Load() != 0 || quiet[0].Bytes() != 10*(frame+4) {
			t.Errorf("the reader of a tenant that uses little was given up, or has %d bytes", quiet[0].Bytes())
		}
		for i, o := range append(all, quiet...) {
			append(sinks, quietSinks...)[i].Close()
			o.End(nil)
			o.Release()
		}
		ws.Close()
		<-stopped
		if used, _ := ws.Memory(); used != 0 || len(ws.memory.tenants) != 0 {
			t.Errorf("%d bytes of %d tenants are still counted", used, len(ws.memory.tenants))
		}
	})
}

// TestAFrameOfManyReadersCountsOnce checks that frames that wait for many readers count once, and
// that the readers are not given up for them.
func TestAFrameOfManyReadersCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, messages, bytes = 200, 10, 64 << 10
		ws := NewWriters(1)
		ws.SetMemory(8 << 20)
		stopped := make(chan struct{})
		go func() { ws.Run(); close(stopped) }()
		var slow atomic.Int32
		all, sinks := readers(ws, "a", members, &slow)
		for range messages {
			f := frameOf(bytes)
			for _, o := range all {
				o.Send(f)
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		used, _ := ws.Memory()
		if want := int64(messages*(bytes+10) + members*(messages*perFrame+perSpill)); used > want || slow.Load() != 0 {
			t.Errorf("%d bytes are counted, want at most %d; %d readers were given up", used, want, slow.Load())
		}
		for _, s := range sinks {
			s.Drain()
		}
		synctest.Wait()
		if used, _ := ws.Memory(); used != 0 {
			t.Errorf("%d bytes are counted after all were read", used)
		}
		for i, o := range all {
			sinks[i].Close()
			o.End(nil)
			o.Release()
		}
		ws.Close()
		<-stopped
	})
}

// TestReadersOverTLSAreNotGivenUp checks that readers whose every write waits for a moment are
// not given up because others of their tenant are slow.
func TestReadersOverTLSAreNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := NewWriters(1)
		ws.SetMemory(256 << 10)
		stopped := make(chan struct{})
		go func() { ws.Run(); close(stopped) }()
		var slow, fast atomic.Int32
		stuck, stuckSinks := readers(ws, "a", 8, &slow)
		for _, o := range stuck {
			o.Send(frameOf(60 << 10))
		}
		synctest.Wait()
		if !stuck[0].Crowded() {
			t.Fatal("the tenant does not use too much")
		}
		s, o := fanouttest.NewSink(wire.WebSocket), new(Outbox)
		s.TLS = true
		ws.Open(o, OutboxConfig{Sink: s, Tenant: "a", Bytes: 1 << 20, WriteTimeout: time.Second, Slow: func() { fast.Add(1) }})
		for range 100 {
			o.Send(frameOf(1 << 10))
			o.Send(frameOf(1 << 10))
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if fast.Load() != 0 {
			t.Error("a reader that reads was given up")
		}
		stuck[0].Send(frameOf(1))
		synctest.Wait()
		if n := slow.Load(); n != 1 {
			t.Errorf("%d slow readers were given up for a further frame, want 1", n)
		}
		for i, o := range append(stuck, o) {
			append(stuckSinks, s)[i].Close()
			o.End(nil)
			o.Release()
		}
		ws.Close()
		<-stopped
	})
}

// TestSendersWaitForTheMemoryOfTheirTenant checks that the messages that wait for a writer are
// bounded for all rooms of a tenant together, and that the senders of another tenant do not wait.
func TestSendersWaitForTheMemoryOfTheirTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms, messages, bytes, limit = 50, 40, 32 << 10, 8 << 20
		ws := NewWriters(1) // it does not run yet
		ws.SetMemory(limit)
		var slow atomic.Int32
		var sent atomic.Int32
		var ended []func()
		room := func(tenant string) (post func()) {
			o, s := readers(ws, tenant, 1, &slow)
			s[0].Drain()
			ended = append(ended, func() { s[0].Close(); o[0].End(nil); o[0].Release() })
			all, _ := NewSnapshot(ws, []*Receiver{{Outbox: o[0]}}, func(r *Receiver) *Receiver { return r })
			r := ws.NewRoom()
			return func() { r.Post(&all, Message{Frame: frameOf(bytes), Size: bytes}) }
		}
		var senders sync.WaitGroup
		for range rooms {
			post := room("a")
			senders.Go(func() {
				for range messages {
					post()
					sent.Add(1)
				}
			})
		}
		synctest.Wait()
		if used, _ := ws.Memory(); used > limit/2+2*bytes || sent.Load() < limit/2/bytes/2 {
			t.Errorf("%d messages with %d bytes wait for the writer, want about %d", sent.Load(), used, limit/2)
		}
		room("b")() // does not wait
		stopped := make(chan struct{})
		go func() { ws.Run(); close(stopped) }()
		senders.Wait()
		synctest.Wait()
		if used, _ := ws.Memory(); used != 0 || sent.Load() != rooms*messages || slow.Load() != 0 {
			t.Errorf("%d bytes are counted, %d messages were sent, %d readers were given up", used, sent.Load(), slow.Load())
		}
		for _, end := range ended {
			end()
		}
		ws.Close()
		<-stopped
	})
}

// TestIncompleteMessagesOfATenantAreBounded checks that the incomplete messages of a tenant may take as much
// memory as they leave to other tenants, that another tenant then has memory left, and that slow readers do not
// count.
func TestIncompleteMessagesOfATenantAreBounded(t *testing.T) {
	const limit = 1 << 20
	ws := NewWriters(1)
	ws.SetMemory(limit)
	stopped := make(chan struct{})
	go func() { ws.Run(); close(stopped) }()
	var slow atomic.Int32
	many, manySinks := readers(ws, "many", 100, &slow)
	few, fewSinks := readers(ws, "few", 1, &slow)
	many[0].account.add(limit)
	accepted := 0
	for _, o := range many {
		if o.Receive(limit / 64) {
			accepted++
		} else {
			o.Receive(-limit / 64)
		}
	}
	if accepted != 32 || ws.Incoming() != limit/2 {
		t.Errorf("%d messages have begun, with %d bytes, want half of the limit", accepted, ws.Incoming())
	}
	if !few[0].Receive(limit / 64) {
		t.Error("another tenant has no room")
	}
	for range accepted {
		many[0].Receive(-limit / 64)
	}
	few[0].Receive(-limit / 64)
	many[0].account.add(-limit)
	if n := ws.Incoming(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
	for i, o := range append(many, few...) {
		append(manySinks, fewSinks...)[i].Close()
		o.End(nil)
		o.Release()
	}
	ws.Close()
	<-stopped
}
