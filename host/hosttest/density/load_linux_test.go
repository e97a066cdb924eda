package density

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// maxRSS returns the largest resident set size of a process that has ended, in bytes.
func maxRSS(cmd *exec.Cmd) int64 {
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

const (
	loadRate = 1000             // messages per second, of all tenants together
	loadTime = 15 * time.Second // of one load
)

// load has the result of messages in many tenants.
type load struct {
	sent, received int
	latencies      []time.Duration
}

// load sends loadRate messages per second in the tenants for loadTime. Each tenant has a sender and a receiver.
func (s *node) load(t testing.TB, tenants []int) load {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+2*loadTime)
	defer cancel()
	var mu sync.Mutex
	var all load
	var members, joined sync.WaitGroup
	joined.Add(len(tenants))
	begin := make(chan time.Time, 1)
	every := time.Second * time.Duration(len(tenants)) / loadRate
	count := int(loadTime / every)
	for i, tenant := range tenants {
		members.Go(func() {
			sender, err := s.join(ctx, tenant)
			if err == nil {
				defer sender.conn.CloseNow()
			}
			receiver, err2 := s.join(ctx, tenant)
			if err2 == nil {
				defer receiver.conn.CloseNow()
			}
			joined.Done()
			if err != nil || err2 != nil {
				t.Errorf("t%d: %v, %v", tenant, err, err2)
				return
			}
			at := <-begin
			begin <- at
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() {
				sender.sendAll(ctx, t, at.Add(every*time.Duration(i)/time.Duration(len(tenants))), every, count)
			})
			latencies := receiver.receive(ctx, at, count)
			mu.Lock()
			defer mu.Unlock()
			all.sent, all.received = all.sent+count, all.received+len(latencies)
			all.latencies = append(all.latencies, latencies...)
		})
	}
	joined.Wait()
	begin <- time.Now()
	members.Wait()
	return all
}

// sendAll sends messages at fixed times. Each has the time at which it is due, so that a late sender counts as a delay.
func (c *client) sendAll(ctx context.Context, t testing.TB, at time.Time, every time.Duration, count int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nothing may wait for this connection
		for {
			if _, _, err := c.conn.Read(ctx); err != nil {
				return
			}
		}
	}()
	for i := range count {
		due := at.Add(every * time.Duration(i))
		time.Sleep(time.Until(due))
		if err := c.send(ctx, fmt.Sprintf(`{"event":"say","room":"hall","message":"due %d"}`, due.UnixNano())); err != nil {
			t.Errorf("t%d: %v", c.tenant, err)
			return
		}
	}
}

// receive returns the delays of the messages that arrive, at most count, until some seconds after the last one is due.
func (c *client) receive(ctx context.Context, at time.Time, count int) (latencies []time.Duration) {
	ctx, cancel := context.WithDeadline(ctx, at.Add(loadTime+20*time.Second))
	defer cancel()
	for len(latencies) < count {
		frame, err := c.await(ctx, `"message":"due `)
		if err != nil {
			return latencies
		}
		_, text, _ := strings.Cut(string(frame), `"message":"due `)
		text, _, _ = strings.Cut(text, `"`)
		due, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return latencies
		}
		latencies = append(latencies, time.Duration(time.Now().UnixNano()-due))
	}
	return latencies
}

// visit joins a tenant's room, says something, and leaves after a pause.
func (s *node) visit(ctx context.Context, tenant int, pause time.Duration) error {
	c, err := s.join(ctx, tenant)
	if err != nil {
		return err
	}
	defer c.conn.CloseNow()
	if _, err := c.say(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return nil
}

// BenchmarkReloadsBesideMessages sends 1,000 messages per second in other tenants, without reloads and while one tenant
// is reloaded again and again, and compares the delays. No message may be lost.
func BenchmarkReloadsBesideMessages(b *testing.B) {
	besideMessages(b, "reload", func(p *program, s *node, n, version int) {
		p.writeTenants(b, n, 0, version)
		s.reload(b)
	})
}

// visitors is the number of tenants that wake at once in BenchmarkWakesBesideMessages.
const visitors = 20

// BenchmarkWakesBesideMessages is BenchmarkReloadsBesideMessages with visitors of random tenants in place of reloads: in each
// of the tenants, three rules wake.
func BenchmarkWakesBesideMessages(b *testing.B) {
	besideMessages(b, fmt.Sprint("visit of ", visitors, " tenants"), func(_ *program, s *node, n, _ int) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range visitors {
			all.Go(func() {
				if err := s.visit(ctx, rand.IntN(n), 0); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// besideMessages compares the delays of messages without disturb and while disturb is called again and again, with the number of
// the call.
func besideMessages(b *testing.B, what string, disturb func(p *program, s *node, tenants, call int)) {
	p := build(b)
	for _, n := range numbers(b) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := p.serve(b, n)
			var tenants []int
			for i := range talking - 1 {
				tenants = append(tenants, 1+i*n/talking) // t0 is reloaded
			}
			for b.Loop() {
				s.load(b, tenants) // wakes the tenants
				without := s.load(b, tenants)
				done := make(chan load, 1)
				go func() { done <- s.load(b, tenants) }()
				var with load
				var times []time.Duration
				for loading := true; loading; {
					begin := time.Now()
					disturb(p, s, n, 1+len(times))
					times = append(times, time.Since(begin))
					select {
					case with = <-done:
						loading = false
					default:
					}
				}
				fmt.Printf("\n| %d tenants, %d messages/s in %d, beside a %s, %d times | value | bound |\n| --- | --- | --- |\n", n, loadRate, len(tenants), what, len(times))
				fmt.Printf("| median %s, ms | %.4g | |\n", what, quantile(times, 0.5))
				compare(b, without, with)
			}
		})
	}
}

// compare prints and reports the delays of two loads.
func compare(b *testing.B, without, with load) {
	for what, l := range map[string]load{"alone": without, "beside": with} {
		if l.sent != l.received {
			b.Errorf("%s, %d of %d messages are lost", what, l.sent-l.received, l.sent)
		}
	}
	fmt.Printf("| lost | %d | 0 |\n", with.sent-with.received)
	for _, q := range []struct {
		name  string
		value float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		before, after, bound := quantile(without.latencies, q.value), quantile(with.latencies, q.value), ""
		if q.name == "p99" {
			bound = fmt.Sprintf("%.3g", before+50)
		}
		fmt.Printf("| %s alone, ms | %.3g | |\n| %s beside, ms | %.3g | %s |\n", q.name, before, q.name, after, bound)
		b.ReportMetric(before, q.name+"-alone-ms")
		b.ReportMetric(after, q.name+"-beside-ms")
	}
}
