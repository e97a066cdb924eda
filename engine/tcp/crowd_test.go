package tcp_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestACrowdReceivesEachMessageOnceInOrder checks that the members of a room receive all messages, each once and in order, while
// others read nothing for a time, so that their sockets are full, and others close their connections between two messages.
func TestACrowdReceivesEachMessageOnceInOrder(t *testing.T) {
	const clients, messages, size = 60, 120, 4 << 10
	everywhere(t, func(s *site) {
		var all sync.WaitGroup
		said := make(chan struct{})
		sender := s.dial()
		sender.send(withID(1, "roomAdd"))
		sender.wants(ok(1, "true"))
		for i := range clients {
			c := s.dial()
			c.send(withID(1, "roomAdd"))
			c.wants(ok(1, "true"))
			all.Go(func() {
				if i%4 == 0 {
					<-said // until then the socket fills
				}
				for n := range messages {
					if i%4 == 1 && n == i {
						c.Close()
						return
					}
					line, err := c.r.ReadString('\n')
					if want := fmt.Sprintf(`{"message":"%d x`, n); err != nil || !strings.HasPrefix(line, want) {
						s.Errorf("client %d: %.60q, %v, want %s", i, line, err, want)
						return
					}
				}
			})
		}
		for n := range messages {
			sender.send(fmt.Sprintf(`{"event":"say","room":"r","message":"%d %s","messageId":%d}`, n, strings.Repeat("x", size), n))
			for answer := ""; !strings.Contains(answer, `"context":"response"`); {
				if answer = sender.receive(); strings.Contains(answer, `"error"`) {
					s.Fatalf("message %d: %.200s", n, answer)
				}
			}
		}
		close(said)
		all.Wait()
	})
}
