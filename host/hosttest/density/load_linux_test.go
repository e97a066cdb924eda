package density

import (
	"context"
	"fmt"
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

// BenchmarkReloadsBesideMessages sends 1,000 messages per second in other tenants, without reloads and while one tenant
// is reloaded again and again, and compares the delays. No message may be lost.
func BenchmarkReloadsBesideMessages(b *testing.B) {
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
				var reloads []time.Duration
				for version, loading := 1, true; loading; version++ {
					p.writeTenants(b, n, 0, version)
					reloads = append(reloads, s.reload(b))
					select {
					case with = <-done:
						loading = false
					default:
					}
				}
				for what, l := range map[string]load{"without reloads": without, "with reloads": with} {
					if l.sent != l.received {
						b.Errorf("%s, %d of %d messages are lost", what, l.sent-l.received, l.sent)
					}
				}
				before, after := quantile(without.latencies, 0.99), quantile(with.latencies, 0.99)
				fmt.Printf("\n| %d tenants, %d messages/s in %d, one reloaded %d times | value | bound |\n| --- | --- | --- |\n", n, loadRate, len(tenants), len(reloads))
				fmt.Printf("| lost | %d | 0 |\n| p99 without reloads, ms | %.3g | |\n| p99 with reloads, ms | %.3g | %.3g |\n| median reload, ms | %.4g | |\n",
					with.sent-with.received, before, after, before+50, quantile(reloads, 0.5))
				b.ReportMetric(before, "p99-without-ms")
				b.ReportMetric(after, "p99-with-ms")
				b.ReportMetric(float64(len(reloads)), "reloads")
			}
		})
	}
}
