package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// withPollers runs a test with a poller of each kind.
func withPollers(t *testing.T, test func(t *testing.T, p *Poller)) {
	for name, r := range map[string]Reading{"polled": Polled, "goroutines": Goroutines} {
		t.Run(name, func(t *testing.T) {
			p, err := NewPoller(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(context.Background(), func(context.Context) { test(t, p) }); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// wait makes s wait until it is readable. Each wake sends a value to woken.
func wait(s *Stream) (wake func(), woken chan struct{}) {
	woken = make(chan struct{}, 10)
	wake = func() { woken <- struct{}{} }
	s.WaitReadable(wake)
	return wake, woken
}

func (s *Stream) reads(t *testing.T, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
}

func (s *Stream) closeAndEnd() {
	s.Close()
	s.End()
}

func TestReadableWakesOnce(t *testing.T) {
	withPollers(t, func(t *testing.T, p *Poller) {
		s, client := pair(t, "ahead")
		p.Watch(s)
		wake, woken := wait(s)
		<-woken
		s.reads(t, "ahead")
		for _, text := range []string{"one", "two", "three"} {
			client.Write([]byte(text)) // before WaitReadable
			s.WaitReadable(wake)
			<-woken
			s.reads(t, text)
		}
		s.WaitReadable(wake)
		client.Write([]byte("in"))
		<-woken
		client.Write([]byte(" parts")) // while the stream does not wait
		s.reads(t, "in parts")
		if !s.Active() {
			t.Error("Active is false after a read")
		}
		if len(woken) > 0 {
			t.Errorf("woken %d times more", len(woken))
		}
		client.Close()
		s.closeAndEnd()
	})
}

func TestClosesWake(t *testing.T) {
	withPollers(t, func(t *testing.T, p *Poller) {
		for name, c := range map[string]struct {
			end  func(s *Stream, client *net.TCPConn)
			want error
		}{
			"the client closes":      {func(_ *Stream, client *net.TCPConn) { client.Close() }, io.EOF},
			"the client closes half": {func(_ *Stream, client *net.TCPConn) { client.CloseWrite() }, io.EOF},
			"Close":                  {func(s *Stream, _ *net.TCPConn) { s.Close() }, net.ErrClosed},
		} {
			for _, first := range []string{"before", "after"} {
				s, client := pair(t, "")
				p.Watch(s)
				var woken chan struct{}
				if first == "before" {
					c.end(s, client)
					_, woken = wait(s)
				} else {
					_, woken = wait(s)
					c.end(s, client)
				}
				<-woken
				if n, err := s.Read(make([]byte, 1)); n > 0 || !errors.Is(err, c.want) {
					t.Errorf("%s %s WaitReadable: read %d bytes, %v, want %v", name, first, n, err, c.want)
				}
				client.Close()
				s.closeAndEnd()
				if len(woken) > 0 {
					t.Errorf("%s %s WaitReadable: woken twice", name, first)
				}
			}
		}
	})
}

// TestBrokenSocketWakes checks that a stream is woken if its socket cannot be added to
// the epoll instance.
func TestBrokenSocketWakes(t *testing.T) {
	withPollers(t, func(t *testing.T, p *Poller) {
		s, _ := pair(t, "")
		p.Watch(s)
		s.Conn.Close()
		_, woken := wait(s)
		<-woken
		s.closeAndEnd()
	})
}

// TestCloseAndBytesWakeOnce checks that bytes and a Close at the same time wake a
// stream once.
func TestCloseAndBytesWakeOnce(t *testing.T) {
	withPollers(t, func(t *testing.T, p *Poller) {
		for range 300 {
			s, client := pair(t, "")
			p.Watch(s)
			var both sync.WaitGroup
			both.Go(func() { client.Write([]byte("x")) })
			both.Go(func() { s.Close() })
			_, woken := wait(s)
			both.Wait()
			<-woken
			client.Close()
			s.End()
			if len(woken) > 0 {
				t.Fatal("woken twice")
			}
		}
	})
}

// TestPollWakes checks that Poll wakes the readable streams and no others, before,
// during and after Run.
func TestPollWakes(t *testing.T) {
	p, err := NewPoller(Polled)
	if err != nil {
		t.Fatal(err)
	}
	p.Poll()
	err = p.Run(context.Background(), func(context.Context) {
		s, client := pair(t, "")
		silent, other := pair(t, "")
		p.Watch(s)
		p.Watch(silent)
		wake, woken := wait(s)
		_, never := wait(silent)
		for range 1000 {
			client.Write([]byte("x"))
			p.Poll()
			<-woken
			s.reads(t, "x")
			s.WaitReadable(wake)
		}
		if len(never) > 0 {
			t.Error("a stream without bytes was woken")
		}
		client.Close()
		<-woken
		other.Close()
		<-never
		s.closeAndEnd()
		silent.closeAndEnd()
	})
	if err != nil {
		t.Error(err)
	}
	p.Poll()
}
