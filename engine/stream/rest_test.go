package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// polling runs a test with a poller of each kind.
func polling(t *testing.T, test func(t *testing.T, p *Poller)) {
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

// nap rests s and gives what wakes it. Each value is one call of wake.
func nap(s *Stream) (wake func(), woken chan struct{}) {
	woken = make(chan struct{}, 10)
	wake = func() { woken <- struct{}{} }
	s.Rest(wake)
	return wake, woken
}

func (s *Stream) reads(t *testing.T, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
}

func (s *Stream) over() {
	s.Close()
	s.End()
}

func TestWhatIsReadWakesOnce(t *testing.T) {
	polling(t, func(t *testing.T, p *Poller) {
		s, client := pair(t, "ahead")
		p.Watch(s)
		wake, woken := nap(s)
		<-woken
		s.reads(t, "ahead")
		for _, text := range []string{"one", "two", "three"} {
			client.Write([]byte(text)) // before Rest
			s.Rest(wake)
			<-woken
			s.reads(t, text)
		}
		s.Rest(wake)
		client.Write([]byte("in"))
		<-woken
		client.Write([]byte(" parts")) // while nobody rests
		s.reads(t, "in parts")
		if !s.Heard() {
			t.Error("what was read was not heard")
		}
		if len(woken) > 0 {
			t.Errorf("woken %d times more", len(woken))
		}
		client.Close()
		s.over()
	})
}

func TestEndsWake(t *testing.T) {
	polling(t, func(t *testing.T, p *Poller) {
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
					_, woken = nap(s)
				} else {
					_, woken = nap(s)
					c.end(s, client)
				}
				<-woken
				if n, err := s.Read(make([]byte, 1)); n > 0 || !errors.Is(err, c.want) {
					t.Errorf("%s %s Rest: read %d bytes, %v, want %v", name, first, n, err, c.want)
				}
				client.Close()
				s.over()
				if len(woken) > 0 {
					t.Errorf("%s %s Rest: woken twice", name, first)
				}
			}
		}
	})
}

// Who rests on a socket that cannot be waited for hears of it.
func TestBrokenSocketWakes(t *testing.T) {
	polling(t, func(t *testing.T, p *Poller) {
		s, _ := pair(t, "")
		p.Watch(s)
		s.Conn.Close()
		_, woken := nap(s)
		<-woken
		s.over()
	})
}

// Whoever comes first, what is read or Close, wakes; the other does not.
func TestCloseMeetsWhatIsRead(t *testing.T) {
	polling(t, func(t *testing.T, p *Poller) {
		for range 300 {
			s, client := pair(t, "")
			p.Watch(s)
			var both sync.WaitGroup
			both.Go(func() { client.Write([]byte("x")) })
			both.Go(func() { s.Close() })
			_, woken := nap(s)
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

// Poll wakes who has something to read, whether or not Run has got to it, and
// nobody else; at any time.
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
		wake, woken := nap(s)
		_, never := nap(silent)
		for range 1000 {
			client.Write([]byte("x"))
			p.Poll()
			<-woken
			s.reads(t, "x")
			s.Rest(wake)
		}
		if len(never) > 0 {
			t.Error("a silent one was woken")
		}
		client.Close()
		<-woken
		other.Close()
		<-never
		s.over()
		silent.over()
	})
	if err != nil {
		t.Error(err)
	}
	p.Poll()
}
