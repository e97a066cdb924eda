package trial

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
)

// replay answers host functions with recorded results. For calls that were not recorded it has fixed results, so that
// the same event always gets the same answer.
type replay struct {
	calls   map[question][]host.HostCall
	asks    []Asked // questions whose answers were not used yet
	clock   int64   // ms since 1970
	random  *rand.ChaCha8
	live    bool // it replaces only the clock
	missing []string
}

type question struct{ function, key string }

func newReplay(calls []host.HostCall, clock int64) *replay {
	r := &replay{calls: make(map[question][]host.HostCall), clock: clock, random: rand.NewChaCha8([32]byte{})}
	for _, c := range calls {
		q := question{c.Function, c.Key}
		r.calls[q] = append(r.calls[q], c)
	}
	return r
}

// answer is the Replay of a [host.Trace].
func (r *replay) answer(function, key string, size int) (host.HostCall, bool) {
	q := question{function, key}
	if list := r.calls[q]; len(list) > 0 && fits(list[0], size) {
		r.calls[q] = list[1:]
		return list[0], true
	}
	c := host.HostCall{Function: function, Key: key}
	switch function {
	case abi.ImportNow:
		c.Result = r.clock
		return c, true
	case "clock_time_get":
		c.Bytes = binary.LittleEndian.AppendUint64(nil, uint64(r.clock)*uint64(time.Millisecond))
		return c, true
	}
	if r.live {
		return c, false
	}
	return r.fallback(c, size), true
}

// fits reports whether the recorded result is possible with a buffer of this size.
func fits(c host.HostCall, size int) bool {
	switch c.Function {
	case abi.ImportRandom, "random_get":
		return c.Result != 0 || len(c.Bytes) == size
	case abi.ImportKVGet, abi.ImportRoomGet:
		return c.Result < 0 || (c.Result <= int64(size)) == (int64(len(c.Bytes)) == c.Result)
	}
	return true
}

// fallback returns a fixed result for a call that was not recorded.
func (r *replay) fallback(c host.HostCall, size int) host.HostCall {
	switch c.Function {
	case abi.ImportRandom, "random_get":
		c.Bytes = make([]byte, min(size, 64<<10))
		_, _ = r.random.Read(c.Bytes) // it never returns an error
		return c
	case abi.ImportKVSet, abi.ImportRateTake:
		c.Result = 0
	case abi.ImportKVCAS, abi.ImportKVDel:
		c.Result = 1
	case abi.ImportKVAdd:
		c.Bytes = make([]byte, 8)
	default:
		c.Result = abi.Absent
	}
	r.missing = append(r.missing, c.Function+" "+c.Key)
	return c
}

// reply returns the recorded answer to the same question or, if there is none, the first answer to the same ask.
func (r *replay) reply(name string, body []byte) (Reply, bool) {
	i := slices.IndexFunc(r.asks, func(a Asked) bool { return a.Ask == name && bytes.Equal(a.Body, body) })
	if i < 0 {
		i = slices.IndexFunc(r.asks, func(a Asked) bool { return a.Ask == name })
	}
	if i < 0 {
		r.missing = append(r.missing, "ask "+name)
		return Reply{}, false
	}
	reply := r.asks[i].Reply
	r.asks = slices.Delete(slices.Clone(r.asks), i, i+1)
	return reply, true
}

// Replay calls the module with an event of a recording. The clock, random numbers, storage, rooms and external services
// return the recorded results; asks are those of the recorded answer. missing lists the host functions, with their keys, and the
// asks that the module called and the recording does not have; these calls get fixed results, and these asks fail.
func (m *Module) Replay(ctx context.Context, e *Event, calls []host.HostCall, asks []Asked) (a Answer, missing []string, err error) {
	r := newReplay(calls, e.SentAt)
	r.asks = asks
	if r.clock == 0 {
		r.clock = m.start()
	}
	a, _, err = m.ask(ctx, e, r)
	return a, r.missing, err
}
