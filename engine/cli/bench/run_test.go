package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

// quick returns the options of a short run with two rooms of three members.
func quick(url string) Options {
	return Options{URL: url, Prefix: "bench-", Rooms: 2, Members: 3, Senders: 1, Window: 4, Size: 64,
		Warmup: 20 * time.Millisecond, Duration: 100 * time.Millisecond, MaxMessages: 1_000_000}
}

func run1(t *testing.T, s *server, change func(*Options)) (*Result, error) {
	t.Helper()
	o := quick(s.start(t))
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Run(ctx, o)
}

func TestEveryDeliveryIsCounted(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"closed loop":          nil,
		"closed loop, all say": func(o *Options) { o.Senders = 3 },
		"open loop":            func(o *Options) { o.Window, o.Rate = 0, 2000 },
		"open loop, all say":   func(o *Options) { o.Window, o.Rate, o.Senders = 0, 2000, 3 },
		"window of one":        func(o *Options) { o.Window = 1 },
	} {
		res, err := run1(t, &server{}, change)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := res.Fault(); err != nil || len(res.Closed) > 0 || res.Ended != "" {
			t.Errorf("%s: %v, closed %v, ended %q", name, err, res.Closed, res.Ended)
		}
		if res.Messages == 0 || res.Deliveries == 0 || res.Seconds < 0.1 || res.Latency.P50 <= 0 || res.Latency.Max < res.Latency.P99 {
			t.Errorf("%s: %+v", name, res)
		}
		if res.latencies.TotalCount() < res.Messages { // each has three receivers
			t.Errorf("%s: %d latencies of %d messages", name, res.latencies.TotalCount(), res.Messages)
		}
	}
}

func TestFaultsOfAServerAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		deliver                 func(member, n int) []int
		lost, doubled, disorder int
	}{
		"one lost": {func(member, n int) []int {
			if member == 1 && n == 5 {
				return nil
			}
			return []int{n}
		}, 2, 0, 0}, // one in each room
		"one doubled": {func(member, n int) []int {
			if member == 2 && n == 7 {
				return []int{n, n}
			}
			return []int{n}
		}, 0, 2, 0},
		"two swapped": {func(member, n int) []int {
			switch {
			case member == 0 && n == 2:
				return nil
			case member == 0 && n == 3:
				return []int{3, 2}
			}
			return []int{n}
		}, 0, 0, 2},
	} {
		res, err := run1(t, &server{deliver: c.deliver}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if res.Lost != c.lost || res.Duplicated != c.doubled || res.OutOfOrder != c.disorder || res.Fault() == nil {
			t.Errorf("%s: %v", name, res.Fault())
		}
	}
}

// TestTheLastMessagesLostAreFound checks that lost messages are counted even if no later
// message arrives.
func TestTheLastMessagesLostAreFound(t *testing.T) {
	const enough = 10
	res, err := run1(t, &server{deliver: func(member, n int) []int {
		if member == 1 && n >= enough {
			return nil
		}
		return []int{n}
	}}, func(o *Options) { o.Window, o.Rate = 0, 500 })
	if err != nil {
		t.Fatal(err)
	}
	if res.Lost == 0 || res.Duplicated+res.OutOfOrder > 0 {
		t.Errorf("%v; want the last messages lost", res.Fault())
	}
}

// TestAClosedMemberDoesNotStopTheMeasurement checks that the measurement of the other members continues after the
// server closes one, and that the messages which it misses count as lost.
func TestAClosedMemberDoesNotStopTheMeasurement(t *testing.T) {
	res, err := run1(t, &server{closeAt: 10}, func(o *Options) { o.Window = 1; o.Rooms = 1 })
	if err != nil {
		t.Fatal(err)
	}
	if res.Closed["3008 slow reader"] != 1 || res.Lost == 0 || res.Ended != "" || res.Messages < 10 {
		t.Errorf("closed %v, %d lost, ended %q, %d messages", res.Closed, res.Lost, res.Ended, res.Messages)
	}
}

func TestPingsAreAnswered(t *testing.T) {
	s := &server{pings: true}
	if _, err := run1(t, s, nil); err != nil {
		t.Fatal(err)
	}
	s.ponged.Wait()
	if n := s.unponged.Load(); n > 0 {
		t.Errorf("%d pings were not answered", n)
	}
}

// TestMessagesOfAnotherRoomAreTooMany checks that a message which arrives in another room counts as
// duplicated.
func TestMessagesOfAnotherRoomAreTooMany(t *testing.T) {
	o := good()
	o.Rooms = 2
	r, err := newRun(o)
	if err != nil {
		t.Fatal(err)
	}
	payload := append(r.beginning, make([]byte, digits)...)
	for i, s := range r.senders {
		header{sender: uint32(s.index)}.put(payload[len(r.beginning):])
		m := r.members[0]
		if m.take(payload, time.Second); m.duplicated != i || m.orders[0].next != 1 {
			t.Errorf("after a message of room %d: %d too many, %d received", i, m.duplicated, m.orders[0].next)
		}
	}
}

func TestRoomsAreMadeWhereClientsMay(t *testing.T) {
	s := &server{rooms: map[string][]string{}, mayCreate: true}
	if res, err := run1(t, s, nil); err != nil || res.Fault() != nil {
		t.Fatalf("%v, %v", res, err)
	}
	if len(s.rooms["bench-0"]) == 0 || len(s.rooms["bench-1"]) == 0 {
		t.Errorf("the rooms are %d", len(s.rooms))
	}
}

func TestRunErrors(t *testing.T) {
	for name, c := range map[string]struct {
		server *server
		change func(*Options)
		want   string
	}{
		"no rooms":       {&server{rooms: map[string][]string{}}, nil, "tenants.default.rooms.clientsMayCreate=true"},
		"rate limit":     {&server{refuse: "rate limit exceeded"}, nil, "limits.verbsPerSecond"},
		"refused":        {&server{refuse: "not here"}, nil, "the server refused a message: not here"},
		"no server":      {&server{}, func(o *Options) { o.URL = "ws://127.0.0.1:1" }, "no connection: "},
		"no process":     {&server{}, func(o *Options) { o.PID = 1 << 30 }, "pid: "},
		"bad option":     {&server{}, func(o *Options) { o.Size = 1 }, "--size: 1 is out of range"},
		"few messages":   {&server{}, func(o *Options) { o.MaxMessages = 1 }, "nothing was measured: all messages"},
		"senders closed": {&server{closeAt: 1, closeSender: true}, func(o *Options) { o.Warmup = time.Minute }, "2 closed by the server: 3008 slow reader"},
		"no web socket":  {&server{}, func(o *Options) { o.URL += "/elsewhere" }, "--url"},
	} {
		if _, err := run1(t, c.server, c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v; want %q in it", name, err, c.want)
		}
	}
}

func TestAnInterruptedRunReportsItsResults(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	o := quick((&server{}).start(t))
	o.Duration = time.Minute
	o.Watch = func(p Progress) {
		if p.Phase == Measuring {
			interrupt()
		}
	}
	res, err := Run(ctx, o)
	if err != nil || res.Fault() != nil || res.Ended != interrupted || res.Deliveries == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), "nothing was measured") {
		t.Errorf("interrupted before it began: %+v, %v", res, err)
	}
}

func TestTheBudgetOfMessagesIsKept(t *testing.T) {
	res, err := run1(t, &server{}, func(o *Options) { o.Warmup, o.Duration, o.MaxMessages = 0, time.Minute, 100 })
	if err != nil || res.Messages != 100 || res.Ended != usedUp || res.latencies.TotalCount() != 300 || res.Fault() != nil {
		t.Errorf("%+v, %v", res, err)
	}
}
