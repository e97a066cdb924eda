package fanout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingIsLostOrReordered checks that each connection receives the messages of each
// sender in order and without gaps, from the first one on. Rooms and direct messages mix,
// readers pause, and connections end.
func TestNothingIsLostOrReordered(t *testing.T) {
	const rooms, members, messages = 4, 30, 300
	for seed := range uint64(5) {
		atDesk(t, func(d *desk) {
			var halls [rooms]*hall
			for i := range halls {
				halls[i] = d.hall(0)
				halls[i].delay = time.Duration(i) * time.Millisecond
			}
			var boxes []*box
			for i := range members {
				b := d.box()
				b.sink.TLS = i%10 == 9
				b.limit = 10 << 20
				halls[i%rooms].join(b)
				h := halls[(i+1)%rooms] // each box is in two rooms
				h.to = append(h.to, &Receiver{Outbox: halls[i%rooms].to[len(halls[i%rooms].to)-1].Outbox})
				boxes = append(boxes, b)
			}
			var all sync.WaitGroup
			for r, h := range halls {
				all.Go(func() {
					for i := range messages {
						h.post(fmt.Sprintf("room%d %d", r, i))
					}
				})
			}
			for i, b := range boxes {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				all.Go(func() {
					for n := range messages {
						b.Send(frameText(fmt.Sprintf("direct %d", n)))
						if random.IntN(20) == 0 {
							b.sink.Room(random.IntN(50))
							time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
							b.sink.Drain()
						}
					}
					if i%3 == 0 {
						b.End([]byte("bye\r\n"))
					}
				})
			}
			all.Wait()
			synctest.Wait()
			for i, b := range boxes {
				checkStreams(d.T, b, i%3 == 0, messages, fmt.Sprintf("room%d", i%rooms), fmt.Sprintf("room%d", (i+1)%rooms), "direct")
			}
		})
	}
}

func checkStreams(t *testing.T, b *box, ended bool, messages int, senders ...string) {
	t.Helper()
	next := map[string]int{}
	sent, rest := b.sink.Sent()
	if ended {
		if last := len(sent) - 1; last < 0 || sent[last] != "bye" {
			t.Fatal("the farewell was not the last thing sent")
		}
		sent = sent[:len(sent)-1]
		next["direct"] -= messages // none of the direct messages may be missing
	}
	for _, m := range sent {
		from, number, _ := strings.Cut(m, " ")
		want := next[from]
		if ended && from == "direct" {
			want += messages
		}
		if number != fmt.Sprint(want) || !slices.Contains(senders, from) {
			t.Fatalf("got %q, want number %d of %v", m, want, senders)
		}
		next[from]++
	}
	for _, s := range senders {
		if !ended && next[s] != messages || ended && s == "direct" && next[s] != 0 {
			t.Errorf("%d messages of %s, want all %d", next[s], s, messages)
		}
	}
	if rest != "" || b.slow != 0 || b.sink.Overlaps() != 0 {
		t.Errorf("rest %q, given up %d times, %d writes at once", rest, b.slow, b.sink.Overlaps())
	}
}
