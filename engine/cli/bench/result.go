package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is the result of a run. The names in its JSON are stable.
type Result struct {
	URL         string  `json:"url"`
	Rooms       int     `json:"rooms"`
	Members     int     `json:"membersPerRoom"`
	Senders     int     `json:"sendersPerRoom"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate,omitempty"`   // messages/s asked for; 0: closed loop
	Window      int     `json:"window,omitempty"` // 0: open loop
	Size        int     `json:"size"`             // bytes of a message's text

	Seconds    float64 `json:"seconds"`         // measured, without the warm-up
	Ended      string  `json:"ended,omitempty"` // reason for an early end of the run; "": the run did not end early
	Messages   int64   `json:"messages"`        // sent in these seconds
	Deliveries int64   `json:"deliveries"`      // arrived in these seconds

	MessagesPerSecond   float64 `json:"messagesPerSecond"`
	DeliveriesPerSecond float64 `json:"deliveriesPerSecond"`
	Latency             Latency `json:"latencyMs"`

	// The following fields cover the whole run with the warm-up.
	Lost       int            `json:"lost"`       // deliveries that did not arrive
	Duplicated int            `json:"duplicated"` // deliveries that arrived again, or in another room
	OutOfOrder int            `json:"outOfOrder"` // deliveries that arrived after a later message of their sender
	Closed     map[string]int `json:"closed"`     // connections that the server closed, by reason

	Server *Server  `json:"server,omitempty"`      // nil: it was not measured
	Client *float64 `json:"clientCores,omitempty"` // processors that bench itself kept busy; nil: unknown
	Host   *float64 `json:"hostBusy,omitempty"`    // busy share of the processors of this host, 0 to 1; nil: unknown

	// latencies has the latencies of messages sent after the warm-up, in microseconds.
	latencies *hdrhistogram.Histogram
}

// Latency has percentiles of the time from sending to arrival, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Server has the resources that the server's process used.
type Server struct {
	Cores         float64 `json:"cores"`          // processors kept busy
	CPUPerMillion float64 `json:"cpuPerMillion"`  // seconds per 1,000,000 deliveries
	PerWrite      float64 `json:"framesPerWrite"` // deliveries per write system call; 0: unknown
	RSS           int64   `json:"rss"`            // bytes, at the end
	RSSPerConn    float64 `json:"rssPerConn"`     // growth per connection in bytes, from before the first connection to the end of Settle
	JoinCPU       float64 `json:"joinCPU"`        // microseconds to connect and join, per connection
}

func (r *run) result(latencies *hdrhistogram.Histogram, deliveries int64, begin, end sample, ended string) *Result {
	seconds := (end.at - begin.at).Seconds()
	res := &Result{
		URL: r.url.Redacted(), Rooms: r.o.Rooms, Members: r.o.Members, Senders: r.o.Senders, Connections: len(r.members),
		Rate: r.o.Rate, Window: r.o.Window, Size: r.o.Size,
		Seconds: seconds, Ended: ended, Messages: end.sent - begin.sent, Deliveries: deliveries,
		MessagesPerSecond: float64(end.sent-begin.sent) / seconds, DeliveriesPerSecond: float64(deliveries) / seconds,
		Latency: latencyOf(latencies), Closed: r.closed(), latencies: latencies,
	}
	for _, m := range r.members {
		for i, s := range m.room.senders {
			res.Lost += m.orders[i].countLost(int(s.sent.Load()))
		}
		res.Duplicated += m.duplicated
		res.OutOfOrder += m.late
	}
	if r.o.PID != 0 {
		cpu := end.server.cpu - begin.server.cpu
		res.Server = &Server{
			Cores: cpu / seconds, CPUPerMillion: cpu / float64(max(1, deliveries)) * 1e6,
			PerWrite: ratio(float64(deliveries), float64(end.server.writes-begin.server.writes)),
			RSS:      end.server.rss, RSSPerConn: float64(r.idle.rss-r.before.rss) / float64(len(r.members)),
			JoinCPU: (r.connected.cpu - r.before.cpu) / float64(len(r.members)) * 1e6,
		}
	}
	if end.client != (usage{}) {
		cores := (end.client.cpu - begin.client.cpu) / seconds
		res.Client = &cores
	}
	if end.all > begin.all {
		share := (end.busy - begin.busy) / (end.all - begin.all)
		res.Host = &share
	}
	return res
}

// ratio returns a/b; 0 if b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) float64 { return float64(h.ValueAtPercentile(percent)) / 1000 }
	return Latency{at(50), at(90), at(99), at(99.9), float64(h.Max()) / 1000}
}

// Fault returns an error unless each member received each message once and in order.
func (r *Result) Fault() error {
	if r.Lost == 0 && r.Duplicated == 0 && r.OutOfOrder == 0 {
		return nil
	}
	return fmt.Errorf("of the deliveries %d were lost, %d duplicated, %d out of order", r.Lost, r.Duplicated, r.OutOfOrder)
}

// Table writes r as a table.
func (r *Result) Table(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s, %.1f s\n%s; %s\n", r.URL, r.Seconds, r.pace(), r.setting()); err != nil {
		return err
	}
	if r.Ended != "" {
		fmt.Fprintf(w, "ended early: %s\n", r.Ended)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
	row("deliveries/s", "%s", grouped(r.DeliveriesPerSecond))
	row("messages/s", "%s", grouped(r.MessagesPerSecond))
	row("latency p50", "%s", millis(r.Latency.P50))
	row("latency p90", "%s", millis(r.Latency.P90))
	row("latency p99", "%s", millis(r.Latency.P99))
	row("latency p99.9", "%s", millis(r.Latency.P999))
	row("latency max", "%s", millis(r.Latency.Max))
	row("lost", "%s", grouped(float64(r.Lost)))
	row("duplicated", "%s", grouped(float64(r.Duplicated)))
	row("out of order", "%s", grouped(float64(r.OutOfOrder)))
	for _, reason := range slices.Sorted(maps.Keys(r.Closed)) {
		row("closed by server", "%d: %s", r.Closed[reason], reason)
	}
	if s := r.Server; s != nil {
		row("server CPU", "%.2f s per 1M deliveries (%.2f cores)", s.CPUPerMillion, s.Cores)
		if s.PerWrite > 0 {
			row("frames per write", "%s", strconv.FormatFloat(s.PerWrite, 'f', 1, 64))
		}
		row("server memory", "%.1f KiB RSS per connection (%.1f MiB in all)", s.RSSPerConn/1024, float64(s.RSS)/(1<<20))
		row("connect, join", "%.0f us of server CPU per connection", s.JoinCPU)
	}
	if r.Client != nil {
		row("client CPU", "%.2f cores", *r.Client)
	}
	if r.Host != nil {
		row("this host", "%.0f%% busy", *r.Host*100)
	}
	return t.Flush()
}

func (r *Result) pace() string {
	if r.Window == 0 {
		return fmt.Sprintf("open loop, %s messages/s", grouped(r.Rate))
	}
	return fmt.Sprintf("closed loop, window %d", r.Window)
}

func (r *Result) setting() string {
	return fmt.Sprintf("rooms %s, members of each %s, senders %s, bytes %s", grouped(float64(r.Rooms)), grouped(float64(r.Members)), grouped(float64(r.Senders)), grouped(float64(r.Size)))
}

// grouped formats a number with commas between thousands. It has no decimals, except that a fraction below 10 has two.
func grouped(n float64) string {
	if n < 10 && n != float64(int64(n)) {
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// millis formats a latency in milliseconds with three digits.
func millis(ms float64) string {
	digits := 0
	switch {
	case ms < 10:
		digits = 2
	case ms < 100:
		digits = 1
	}
	return strconv.FormatFloat(ms, 'f', digits, 64) + " ms"
}
