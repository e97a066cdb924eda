package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// measured returns a result with all fields set.
func measured() *Result {
	h := newHistogram()
	for us := range int64(1000) {
		_ = h.RecordValue(us + 1)
	}
	_ = h.RecordValue(123_456)
	cores, busy := 0.25, 0.625
	return &Result{
		URL: "ws://127.0.0.1:8080/ws", Rooms: 2, Members: 1500, Senders: 1, Connections: 3000, Window: 16, Size: 128,
		Seconds: 10, Messages: 1234, Deliveries: 1_234_567, MessagesPerSecond: 123.4, DeliveriesPerSecond: 123_456.7,
		Latency: latencyOf(h), Lost: 1, Duplicated: 2, OutOfOrder: 3, Closed: map[string]int{"3008 slow reader": 4, "1009 too big": 1},
		Server: &Server{Cores: 0.8, CPUPerMillion: 1.234, PerWrite: 9.12, RSS: 100 << 20, RSSPerConn: 8.5 * 1024, JoinCPU: 120}, Client: &cores, Host: &busy, latencies: h,
	}
}

func TestTableOfAResult(t *testing.T) {
	const want = `ws://127.0.0.1:8080/ws, 10.0 s
closed loop, window 16; rooms 2, members of each 1,500, senders 1, bytes 128
ended early: interrupted
deliveries/s      123,457
messages/s        123
latency p50       0.50 ms
latency p90       0.90 ms
latency p99       0.99 ms
latency p99.9     1.00 ms
latency max       124 ms
lost              1
duplicated        2
out of order      3
closed by server  1: 1009 too big
closed by server  4: 3008 slow reader
server CPU        1.23 s per 1M deliveries (0.80 cores)
frames per write  9.1
server memory     8.5 KiB RSS per connection (100.0 MiB in all)
connect, join     120 us of server CPU per connection
client CPU        0.25 cores
this host         62% busy
`
	r := measured()
	r.Ended = interrupted
	var got strings.Builder
	if err := r.Table(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", got.String(), want)
	}
}

func TestJSONOfAResult(t *testing.T) {
	const want = `{"url":"ws://127.0.0.1:8080/ws","rooms":2,"membersPerRoom":1500,"sendersPerRoom":1,"connections":3000,"window":16,"size":128,` +
		`"seconds":10,"messages":1234,"deliveries":1234567,"messagesPerSecond":123.4,"deliveriesPerSecond":123456.7,` +
		`"latencyMs":{"p50":0.501,"p90":0.901,"p99":0.991,"p99.9":1,"max":123.519},"lost":1,"duplicated":2,"outOfOrder":3,` +
		`"closed":{"1009 too big":1,"3008 slow reader":4},"server":{"cores":0.8,"cpuPerMillion":1.234,"framesPerWrite":9.12,"rss":104857600,"rssPerConn":8704,"joinCPU":120},"clientCores":0.25,"hostBusy":0.625}`
	got, err := json.Marshal(measured())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("the JSON is\n%s\nwant\n%s", got, want)
	}
}

func TestFaultNamesLostDuplicatedAndReorderedMessages(t *testing.T) {
	if err := (&Result{}).Fault(); err != nil {
		t.Errorf("nothing was wrong: %v", err)
	}
	for name, r := range map[string]*Result{"1 were lost": {Lost: 1}, "1 duplicated": {Duplicated: 1}, "1 out of order": {OutOfOrder: 1}} {
		if err := r.Fault(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the fault is %v; want %q in it", err, name)
		}
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 7: "7", 0.5: "0.50", 9.996: "10.00", 12.4: "12", 999: "999", 1000: "1,000", 1234567.8: "1,234,568"} {
		if got := grouped(n); got != want {
			t.Errorf("%v is written %q; want %q", n, got, want)
		}
	}
}

func TestProgressIsALine(t *testing.T) {
	for want, p := range map[string]Progress{
		"connected 5/10": {Phase: Connecting, Connected: 5, Connections: 10},
		"measuring 3 s: 123,456 deliveries/s, p99 1.50 ms": {Phase: Measuring, Elapsed: 3 * time.Second, Deliveries: 123_456, P99: 1500 * time.Microsecond},
	} {
		if p.String() != want {
			t.Errorf("progress is %q; want %q", p, want)
		}
	}
}

func TestPlotIsAPicture(t *testing.T) {
	for format, magic := range map[Format]string{PNG: "\x89PNG\r\n\x1a\n", SVG: "<svg "} {
		var b bytes.Buffer
		if err := measured().Plot(&b, format); err != nil || !strings.HasPrefix(b.String(), magic) {
			t.Errorf("%s: %v, it begins with %.10q", format, err, b.String())
		}
		if format == SVG && (!strings.Contains(b.String(), "99%: up to 0.99 ms") || !strings.Contains(b.String(), ">0.1 ms<")) {
			t.Errorf("the picture has not the legend or the labels it should have:\n%s", b.String())
		}
	}
	if err := (&Result{latencies: newHistogram()}).Plot(new(bytes.Buffer), PNG); err == nil {
		t.Error("there is a picture of nothing")
	}
}

// TestBarsHoldAllDeliveries checks that each latency is in one bar of one color.
func TestBarsHoldAllDeliveries(t *testing.T) {
	for name, latencies := range map[string][]int64{
		"one":          {1500},
		"none, almost": {0},
		"far apart":    {1, 1_000_000},
		"at an edge":   {1000, 1000, 10_000},
		"longest":      {longestLatency.Microseconds()},
	} {
		h := newHistogram()
		for _, us := range latencies {
			_ = h.RecordValue(us)
		}
		b := (&Result{latencies: h, Latency: latencyOf(h)}).bars()
		bars := 0
		for _, part := range b.heights {
			for _, height := range part {
				if height > 0 {
					bars++
				}
			}
		}
		distinct := map[int64]bool{}
		for _, us := range latencies {
			distinct[us] = true
		}
		if bars != len(distinct) || len(b.labels)%barsPerLabel != 1 {
			t.Errorf("%s: %d bars of %d latencies, %d places", name, bars, len(distinct), len(b.labels))
		}
	}
	if got := label(3 * barsPerDecade); got != "1 ms" {
		t.Errorf("the bar of 1 ms is labelled %s", got)
	}
}

func TestFormatOfAFile(t *testing.T) {
	for file, want := range map[string]Format{"a.png": PNG, "b/c.SVG": SVG} {
		if got, err := FormatOf(file); got != want || err != nil {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}
	if _, err := FormatOf("a.gif"); err == nil {
		t.Error("a.gif is a picture")
	}
}
