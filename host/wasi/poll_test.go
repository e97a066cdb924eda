package wasi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

func TestClocksAreReal(t *testing.T) {
	m := newMemory(t)
	ns := func(id uint64) int64 {
		if e := ask(t, newRecorder(), m, "clock_time_get", id, 0, 64); e != success {
			t.Fatal(e)
		}
		v, _ := m.ReadUint64Le(64)
		return int64(v)
	}
	if off := time.Since(time.Unix(0, ns(realtime))); off < 0 || off > time.Minute {
		t.Errorf("off by %v", off)
	}
	a := ns(monotonic)
	if b := ns(monotonic); a <= 0 || b < a || b > int64(time.Hour) {
		t.Errorf("%d, then %d", a, b)
	}
	if e := ask(t, newRecorder(), m, "clock_res_get", monotonic, 64); e != success {
		t.Error(e)
	}
}

func TestRandomIsRandomAndBounded(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	if e := ask(t, p, m, "random_get", 0, 64); e != success || p.charged != 64*randomCost {
		t.Errorf("%d, charged %d", e, p.charged)
	}
	if e := ask(t, p, m, "random_get", 64, 64); e != success {
		t.Error(e)
	}
	b, _ := m.Read(0, 192)
	if zero := make([]byte, 64); bytes.Equal(b[:64], b[64:128]) || bytes.Equal(b[:64], zero) || !bytes.Equal(b[128:], zero) {
		t.Errorf("%x", b)
	}
	if e := ask(t, p, m, "random_get", 0, MaxRandom); e != success {
		t.Error(e)
	}
	if e := ask(t, p, m, "random_get", 0, MaxRandom+1); e != inval {
		t.Error(e)
	}
}

// subscribe writes one subscription into the guest's memory.
func subscribe(m api.Memory, i uint32, kind byte, id uint32, ns uint64, flags uint16) {
	b := make([]byte, subscriptionSize)
	binary.LittleEndian.PutUint64(b, uint64(i)+100)
	b[8] = kind
	binary.LittleEndian.PutUint32(b[16:], id)
	binary.LittleEndian.PutUint64(b[24:], ns)
	binary.LittleEndian.PutUint16(b[40:], flags)
	m.Write(4096+i*subscriptionSize, b)
}

// poll calls poll_oneoff and returns the events, as "userdata errno kind".
func poll(t *testing.T, p *recorder, m api.Memory, n uint64) (events []string) {
	t.Helper()
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, n, 64); e != success {
		t.Fatalf("poll_oneoff answers %d", e)
	}
	happened, _ := m.ReadUint32Le(64)
	for i := range happened {
		b, _ := m.Read(8192+i*eventSize, eventSize)
		events = append(events, fmt.Sprintf("%d %d %d", binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]))
	}
	return events
}

func TestPollSleepsUntilTheFirst(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	subscribe(m, 0, eventClock, monotonic, 5000, 0)
	subscribe(m, 1, eventClock, realtime, 3000, 0)
	subscribe(m, 2, eventClock, realtime, 3000, 0)
	if got := poll(t, p, m, 3); !slices.Equal(got, []string{"101 0 0", "102 0 0"}) || !slices.Equal(p.slept, []time.Duration{3000}) {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newRecorder()
	at := uint64(time.Now().Add(time.Hour).UnixNano())
	subscribe(m, 0, eventClock, realtime, at, 1)
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept[0] > time.Hour || p.slept[0] < time.Hour-time.Minute {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newRecorder()
	subscribe(m, 0, eventClock, realtime, 1, 1) // long ago
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept != nil {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newRecorder()
	subscribe(m, 0, eventClock, monotonic, math.MaxUint64, 0)
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept[0] != math.MaxInt64 {
		t.Errorf("%q, slept %v", got, p.slept)
	}
}

func TestPollOfDescriptorsDoesNotWait(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	subscribe(m, 0, eventClock, monotonic, 5000, 0)
	subscribe(m, 1, eventWrite, 1, 0, 0)
	subscribe(m, 2, eventRead, 0, 0, 0)
	subscribe(m, 3, eventRead, 7, 0, 0)
	subscribe(m, 4, eventWrite, 0, 0, 0)
	want := []string{"101 0 2", "102 0 1", "103 8 1", "104 8 2"}
	if got := poll(t, p, m, 5); !slices.Equal(got, want) || p.slept != nil {
		t.Errorf("%q, slept %v", got, p.slept)
	}
	for _, n := range []uint64{0, maxSubscriptions + 1, 1<<32 - 1} {
		if e := ask(t, p, m, "poll_oneoff", 4096, 8192, n, 64); e != inval {
			t.Errorf("%d subscriptions: %d", n, e)
		}
	}
	subscribe(m, 0, 3, 0, 0, 0)
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, 1, 64); e != inval {
		t.Errorf("subscription of kind 3: %d", e)
	}
	subscribe(m, 0, eventClock, 2, 0, 0)
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, 1, 64); e != inval {
		t.Errorf("clock 2: %d", e)
	}
}
