package api

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// spans are the spans of the history, with the time between two of their points. The memory of a history does not depend
// on the load or the number of tenants: about 40 KiB.
var spans = [...]struct {
	name   string
	step   time.Duration
	points int
}{
	{"10m", 5 * time.Second, 120},
	{"2h", 30 * time.Second, 240},
	{"24h", 5 * time.Minute, 288},
}

// measures are the columns of a point.
type measures [13]float32

// The indexes of measures. Durations are in ms.
const (
	ofConnections = iota
	ofMessages    // per second
	ofDeliveries  // per second
	ofProcessors
	ofMemory // bytes
	ofModuleMemory
	ofVerbP50
	ofVerbP99
	ofChainP50
	ofChainP99
	ofModuleP50
	ofModuleP99
	ofVerbs // per second
)

// totals are counters at one time.
type totals struct {
	at                            time.Time
	messages, deliveries, verbs   uint64
	processor                     time.Duration
	verbTimes, chainTimes, module histogram.Snapshot
}

// pointRing holds the latest points of a span.
type pointRing struct {
	at     int64  // the last multiple of the step, in ms since 1970; 0: there was none
	before totals // at that time
	times  []int64
	points []measures
	next   int // the oldest point, once the ring is full
}

// history holds the measures of this node in the last minutes and hours. It is safe for concurrent use.
type history struct {
	read func() (totals, measures) // measures has the values that are not rates

	mu    sync.Mutex
	rings [len(spans)]pointRing
}

// run adds points until ctx ends. The times of the points are multiples of the step of their span, so that those of
// several nodes can be added.
func (h *history) run(ctx context.Context) {
	step := spans[0].step
	for {
		h.take()
		now := time.Now()
		timer := time.NewTimer(now.Truncate(step).Add(step).Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// take adds a point to each span in which a step has passed since its last point.
func (h *history) take() {
	now, values := h.read()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.rings {
		r, step := &h.rings[i], spans[i].step
		at := now.at.Add(spans[0].step / 2).Truncate(step).UnixMilli() // a timer may end a little early
		if last := r.at; at == last {
			continue
		} else if r.at = at; last != 0 {
			values.rates(&r.before, &now)
			r.add(at, values, spans[i].points)
		}
		r.before = now
	}
}

// rates sets the measures that are differences of counters.
func (m *measures) rates(before, now *totals) {
	seconds := now.at.Sub(before.at).Seconds()
	per := func(a, b uint64) float32 { return float32(float64(b-a) / seconds) }
	m[ofMessages], m[ofDeliveries], m[ofVerbs] = per(before.messages, now.messages), per(before.deliveries, now.deliveries), per(before.verbs, now.verbs)
	m[ofProcessors] = float32((now.processor - before.processor).Seconds() / seconds)
	m[ofVerbP50], m[ofVerbP99] = quantiles(&before.verbTimes, &now.verbTimes)
	m[ofChainP50], m[ofChainP99] = quantiles(&before.chainTimes, &now.chainTimes)
	m[ofModuleP50], m[ofModuleP99] = quantiles(&before.module, &now.module)
}

// quantiles returns the p50 and p99 of the observations between two snapshots, in ms; NaN if there are none.
func quantiles(before, now *histogram.Snapshot) (p50, p99 float32) {
	var d histogram.Snapshot
	for i := range d.Counts {
		if now.Counts[i] > before.Counts[i] { // the counts of a module that was removed are missing in now
			d.Counts[i] = now.Counts[i] - before.Counts[i]
		}
	}
	if d.Total() == 0 {
		return float32(math.NaN()), float32(math.NaN())
	}
	ms := func(q float64) float32 { return float32(float64(d.Quantile(q)) / float64(time.Millisecond)) }
	return ms(0.5), ms(0.99)
}

func (r *pointRing) add(at int64, m measures, size int) {
	if len(r.times) < size {
		r.times, r.points = append(r.times, at), append(r.points, m)
		return
	}
	r.times[r.next], r.points[r.next] = at, m
	r.next = (r.next + 1) % size
}

// series has the measures of a node at several times. All lists have the length of At.
type series struct {
	Node         string         `json:"node"`
	At           []millis.Time  `json:"at" format:"unix-ms" doc:"Multiples of stepTime, ascending. A time at which the node did not run is missing."`
	Connections  []value        `json:"connections"`
	Messages     []value        `json:"messages" doc:"Messages that the node published, per s."`
	Deliveries   []value        `json:"deliveries" doc:"Messages that the node put into outboxes, per s."`
	Verbs        []value        `json:"verbs" doc:"Requests of clients that ran, per s."`
	Processors   []value        `json:"processors" doc:"Processors in use: 0.5 is half of one."`
	Memory       []value        `json:"memory" doc:"Memory of the process in bytes; null where the operating system does not tell."`
	ModuleMemory []value        `json:"moduleMemory" doc:"Memory of instances of modules, in bytes."`
	VerbTimes    quantileSeries `json:"verbTimes" doc:"Times of requests of clients until their answer was queued."`
	ChainTimes   quantileSeries `json:"chainTimes" doc:"Times of all rules of a hook together."`
	ModuleTimes  quantileSeries `json:"moduleTimes" doc:"Times of calls of modules."`
}

// quantileSeries are quantiles of durations at several times; null at a time without durations.
type quantileSeries struct {
	P50 []value `json:"p50" format:"duration-ms"`
	P99 []value `json:"p99" format:"duration-ms"`
}

// value is a number with four digits in JSON; NaN is null.
type value float32

// MarshalJSON implements json.Marshaler.
func (v value) MarshalJSON() ([]byte, error) {
	if v != v {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(v), 'g', 4, 32), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *value) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*v = value(math.NaN())
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 32)
	*v = value(f)
	return err
}

// columns returns the lists of a series in the order of measures.
func (s *series) columns() [len(measures{})]*[]value {
	return [...]*[]value{&s.Connections, &s.Messages, &s.Deliveries, &s.Processors, &s.Memory, &s.ModuleMemory,
		&s.VerbTimes.P50, &s.VerbTimes.P99, &s.ChainTimes.P50, &s.ChainTimes.P99, &s.ModuleTimes.P50, &s.ModuleTimes.P99, &s.Verbs}
}

// since returns the points of a span whose time is after since.
func (h *history) since(span string, since millis.Time) series {
	i := 0
	for k := range spans {
		if spans[k].name == span {
			i = k
		}
	}
	var s series
	columns := s.columns()
	s.At = []millis.Time{}
	for _, c := range columns {
		*c = []value{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.rings[i]
	for k := range r.times {
		k = (r.next + k) % len(r.times)
		if float64(r.times[k]) <= float64(since) {
			continue
		}
		s.At = append(s.At, millis.Time(r.times[k]))
		for c, list := range columns {
			*list = append(*list, value(r.points[k][c]))
		}
	}
	return s
}

// measure reads the counters of the node.
func (s *Server) measure() (totals, measures) {
	st := s.cfg.Engine.Stats()
	t := totals{at: time.Now(), messages: st.Messages, deliveries: st.Deliveries, processor: processorTime()}
	for i := range st.Verbs {
		add(&t.verbTimes, &st.Verbs[i].Durations)
	}
	for i := range st.Chains {
		add(&t.chainTimes, &st.Chains[i].Durations)
	}
	t.verbs = t.verbTimes.Total()
	m := measures{ofConnections: float32(st.Connections), ofMemory: processMemory()}
	if s.cfg.Modules != nil {
		u := s.cfg.Modules.Usage(report.UsageQuery{})
		t.module, m[ofModuleMemory] = u.Calls.Snapshot(), float32(u.Memory.Instances)
	}
	return t, m
}

// add adds the counts of one snapshot to another.
func add(to, s *histogram.Snapshot) {
	for i, n := range s.Counts {
		to.Counts[i] += n
	}
	to.Sum += s.Sum
}

type seriesAnswer struct {
	Body struct {
		StepTime    millis.Duration `json:"stepTime" format:"duration-ms" doc:"The time between two points."`
		SpanTime    millis.Duration `json:"spanTime" format:"duration-ms" doc:"The time that the points of a node cover at most."`
		Nodes       []series        `json:"nodes"`
		Unreachable []string        `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
	}
}

// historyQuery selects points of the history of a node.
type historyQuery struct {
	Span  string      `json:"span" query:"span" enum:"10m,2h,24h" default:"10m" doc:"A shorter span has points at shorter distances."`
	Since millis.Time `json:"since,omitempty" query:"since" minimum:"0" format:"unix-ms" doc:"Only points after this time."`
}

func (s *Server) historyOperations() {
	op := s.operation("getHistory", http.MethodGet, "/api/history", 200, "Get connections, rates, durations, processors and memory of all nodes in the last minutes or hours")
	op.Metadata = map[string]any{listing: true} // it asks all nodes
	op.Description = "A node keeps its history in memory, from its start, if it serves the API itself."
	huma.Register(s.api, op, s.getHistory)
}

func (s *Server) getHistory(ctx context.Context, q *historyQuery) (*seriesAnswer, error) {
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &seriesAnswer{}
	out.Body.Nodes = []series{}
	for _, span := range spans {
		if span.name == q.Span {
			out.Body.StepTime, out.Body.SpanTime = millis.DurationOf(span.step), millis.DurationOf(span.step*time.Duration(span.points))
		}
	}
	for i, r := range each(ctx, s, names, askTimeout, question{Ask: askHistory, History: q}, newReply[series]) {
		if r.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
			continue
		}
		r.value.Node = names[i]
		out.Body.Nodes = append(out.Body.Nodes, r.value)
	}
	return out, nil
}
