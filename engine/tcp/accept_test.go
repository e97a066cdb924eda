package tcp_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/tcp"
)

// failing is a listener that returns errors, one for each Accept.
type failing struct {
	net.Listener
	errors []error
}

func (s *failing) Accept() (net.Conn, error) {
	err := s.errors[0]
	s.errors = s.errors[1:]
	return nil, err
}

func TestAcceptIsRetried(t *testing.T) {
	busy, broken := &net.OpError{Op: "accept", Err: syscall.EMFILE}, errors.New("broken")
	for _, c := range []struct {
		last error
		want error
	}{{broken, broken}, {net.ErrClosed, nil}} {
		l := &failing{listen(t), []error{busy, busy, c.last}}
		if err := (&tcp.Server{Engine: enginetest.New(t), Log: slog.New(slog.DiscardHandler)}).Serve(context.Background(), l); err != c.want || len(l.errors) > 0 {
			t.Errorf("Serve returned %v, want %v; %d errors are left", err, c.want, len(l.errors))
		}
	}
}
