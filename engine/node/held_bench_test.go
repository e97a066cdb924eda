package node

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// heldCluster is two servers on one Redis, with a rule that holds messages that contain "darn".
func heldCluster(b *testing.B) (one, two *nodetest.Server) {
	redis := redistest.Start(b)
	const rules = "{ module: blocklist, config: { words: [darn], action: hold } }"
	settings := []string{"modules.blocklist.builtin=blocklist", "admin.requestsPerSecond=100000", "limits.verbsPerSecond=100000", "limits.heldMessages=1000000",
		"tenants.default.limits.heldPerAuthor=1000000", "limits.heldBytes=1GiB"}
	one, two = runNode(b, "one", redis.Address(), rules, settings...), runNode(b, "two", redis.Address(), rules, settings...)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.Cleanup(http.DefaultClient.CloseIdleConnections)
	return one, two
}

// inHall connects a client to a node and joins the hall.
func inHall(b *testing.B, s *nodetest.Server) *nodetest.Client {
	b.Helper()
	c, err := nodetest.Dial(s.Socket)
	if err == nil {
		_, err = fmt.Fprintln(c.Conn, `{"event":"roomAdd","room":"hall","messageId":1}`)
	}
	if err == nil {
		err = c.Hear(regexp.MustCompile(`"data":true`))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Conn.Close() })
	return c
}

var (
	heldID  = regexp.MustCompile(`"held":"([0-9a-v]{20})"`)
	heldNum = regexp.MustCompile(`"message":"darn (\d+)"`)
)

// holds says messages with the numbers from first, at most 64 at a time without an answer, and returns the ids under which they are held.
func holds(c *nodetest.Client, first, n int) (ids []string, err error) {
	for said := 0; len(ids) < n; {
		for ; said < n && said < len(ids)+64; said++ {
			if _, err := fmt.Fprintf(c.Conn, `{"event":"say","room":"hall","message":"darn %d"}`+"\n", first+said); err != nil {
				return nil, err
			}
		}
		if !c.Lines.Scan() {
			return nil, fmt.Errorf("the connection has ended: %v", c.Lines.Err())
		}
		if id := heldID.FindStringSubmatch(c.Lines.Text()); id != nil && heldNum.FindString(c.Lines.Text()) == "" {
			ids = append(ids, id[1])
		}
	}
	return ids, nil
}

// BenchmarkReleaseIsReceived measures the time from a moderator's request to one node until a member on the other node has received
// the released message. Each message is released alone.
func BenchmarkReleaseIsReceived(b *testing.B) {
	one, two := heldCluster(b)
	author, member := inHall(b, one), inHall(b, two)
	received := make(chan time.Time, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for member.Lines.Scan() {
			if heldNum.MatchString(member.Lines.Text()) {
				received <- time.Now()
			}
		}
	})
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		ids, err := holds(author, i, 1)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		status, answer, err := decideOn(b.Context(), one, ids[0])
		if err != nil || status != http.StatusOK {
			b.Fatalf("%d %s %v", status, answer, err)
		}
		took = append(took, (<-received).Sub(began))
	}
	member.Conn.Close()
	reading.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkHeldMessagesAndAKill holds messages on two nodes, releases them on both, and kills one of them when half of them are
// released. A member on the other node receives each message once; those that the dead node was releasing follow 15 to 25 s later.
func BenchmarkHeldMessagesAndAKill(b *testing.B) {
	doomed, survivor := heldCluster(b)
	heard := make([]atomic.Int32, b.N)
	var total atomic.Int64
	member := inHall(b, survivor)
	var reading sync.WaitGroup
	reading.Go(func() {
		for member.Lines.Scan() {
			if m := heldNum.FindStringSubmatch(member.Lines.Text()); m != nil {
				if n, err := strconv.Atoi(m[1]); err == nil && n < len(heard) && heard[n].Add(1) == 1 {
					total.Add(1)
				}
			}
		}
	})
	const authors = 8
	ids := make([][]string, authors)
	clients := make([]*nodetest.Client, authors)
	for i := range clients {
		clients[i] = inHall(b, []*nodetest.Server{doomed, survivor}[i%2])
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			var err error
			if ids[i], err = holds(c, i*b.N/authors, (i+1)*b.N/authors-i*b.N/authors); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	held := b.Elapsed()
	releaseAll(b, slices.Concat(ids...), doomed, survivor)
	released := b.Elapsed() - held
	b.StopTimer()
	if err := redistest.Await("all messages are received", func() bool { return total.Load() == int64(b.N) }); err != nil {
		b.Error(err)
	}
	member.Conn.Close()
	reading.Wait()
	lost, twice := 0, 0
	for i := range heard {
		switch n := heard[i].Load(); {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	b.ReportMetric(float64(b.N)/held.Seconds(), "held/s")
	b.ReportMetric(float64(b.N)/released.Seconds(), "released/s")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(twice), "twice")
}

// releaseAll releases messages by 64 moderators, on both nodes, and kills the first node when half of them are released.
func releaseAll(b *testing.B, ids []string, doomed, survivor *nodetest.Server) {
	var next, done atomic.Int64
	var kill sync.Once
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(ids)); k = next.Add(1) - 1 {
				servers := []*nodetest.Server{doomed, survivor}
				for _, s := range []*nodetest.Server{servers[i%2], survivor} { // a message whose node has died is released on the other one
					status, answer, err := decideOn(b.Context(), s, ids[k])
					if err == nil && status != http.StatusOK && status != http.StatusConflict {
						b.Errorf("%d %s", status, answer)
					}
					if err == nil {
						break
					}
				}
				if done.Add(1) == int64(len(ids)/2) {
					kill.Do(doomed.Kill)
				}
			}
		})
	}
	all.Wait()
}
