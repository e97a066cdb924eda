package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a stream and its client.
func pair(t *testing.T, ahead string) (*Stream, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	client.SetDeadline(time.Now().Add(10 * time.Second))
	return New(server, []byte(ahead)), client.(*net.TCPConn)
}

func TestBytesReadAheadComeFirst(t *testing.T) {
	s, client := pair(t, "one ")
	client.Write([]byte("two"))
	client.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "one two" {
		t.Errorf("%q, %v", got, err)
	}
	if !s.Active() || s.Active() {
		t.Error("Active is not true exactly once after a read")
	}
}

// TestTryWriteDoesNotBlock checks that TryWrite writes only the bytes that fit into a
// socket that is full or nearly full, and that Write then waits and writes the others.
func TestTryWriteDoesNotBlock(t *testing.T) {
	s, client := pair(t, "")
	p := bytes.Repeat([]byte("x"), 64<<10)
	sent := 0
	for {
		n, err := s.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		if n < len(p) {
			break
		}
	}
	if n, err := s.TryWrite(p); n != 0 || err != nil {
		t.Errorf("a full socket took %d bytes, %v", n, err)
	}
	if err := s.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := s.Write(p)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("wrote to a full socket: %d, %v", n, err)
	}
	sent += n
	s.Close()
	go s.End()
	if got, err := io.Copy(io.Discard, client); err != nil || int(got) != sent {
		t.Errorf("the client got %d bytes of %d, %v", got, sent, err)
	}
}

// TestCloseDoesNotLoseTheLastBytes checks that the client receives the last bytes
// although bytes from the client are unread.
func TestCloseDoesNotLoseTheLastBytes(t *testing.T) {
	for range 50 {
		s, client := pair(t, "")
		client.Write(bytes.Repeat([]byte("y"), 32<<10))
		if n, err := s.TryWrite([]byte("bye")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		ended := make(chan struct{})
		go func() { s.End(); close(ended) }()
		s.Close()
		s.Close()
		client.Write(bytes.Repeat([]byte("y"), 32<<10))
		if got, err := io.ReadAll(client); err != nil || string(got) != "bye" {
			t.Fatalf("%q, %v", got, err)
		}
		client.Close()
		<-ended
	}
}

func TestCloseReleasesTheReader(t *testing.T) {
	s, client := pair(t, "")
	read := make(chan error)
	go func() { _, err := s.Read(make([]byte, 1)); read <- err }()
	s.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	// The client does not close its side, so linger limits End.
	start := time.Now()
	s.End()
	if took := time.Since(start); took > 5*linger {
		t.Errorf("End took %v", took)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestTryWriteAllocatesNothing(t *testing.T) {
	s, client := pair(t, "")
	go io.Copy(io.Discard, client)
	p := []byte("hello")
	if n := testing.AllocsPerRun(1000, func() { s.TryWrite(p) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	s.Close()
	client.Close()
	s.End()
}

// eofWithBytes is a socket that returns its last bytes together with io.EOF, as TLS does.
type eofWithBytes struct {
	net.Conn
	last string
}

func (c *eofWithBytes) Read(p []byte) (n int, err error) {
	n = copy(p, c.last)
	c.last = c.last[n:]
	if c.last == "" {
		err = io.EOF
	}
	return n, err
}

func (*eofWithBytes) SetDeadline(time.Time) error { return nil }

// TestEOFComesAfterTheLastBytes checks that Read returns io.EOF after the last bytes,
// not together with them.
func TestEOFComesAfterTheLastBytes(t *testing.T) {
	s := New(&eofWithBytes{last: "bye"}, nil)
	p := make([]byte, 10)
	for _, want := range []struct {
		n   int
		err error
	}{{3, nil}, {0, io.EOF}, {0, io.EOF}} {
		if n, err := s.Read(p); n != want.n || err != want.err {
			t.Errorf("read %d bytes, %v, want %d, %v", n, err, want.n, want.err)
		}
	}
}
