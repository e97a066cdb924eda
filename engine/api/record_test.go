package api_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/api"
)

// chatty is a recorder with an endless number of calls.
type chatty struct {
	*program
	ended chan error
}

func (c *chatty) Record(ctx context.Context, _ api.RecordQuery, f func([]byte) error) (err error) {
	for i := 0; ctx.Err() == nil && err == nil; i++ {
		err = f(fmt.Appendf(nil, "{\"i\":%d}\n", i))
	}
	c.ended <- err
	return err
}

// stalling is a client that reads some lines and then stops. Later writes fail with the error of a deadline, like writes to a
// socket.
type stalling struct {
	*httptest.ResponseRecorder
	t        *testing.T
	takes    int
	deadline time.Time
}

func (s *stalling) SetWriteDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

func (s *stalling) Write(p []byte) (int, error) {
	if wait := time.Until(s.deadline); wait <= 0 || wait > 10*time.Second {
		s.t.Errorf("a line may take %v", wait)
	}
	s.deadline = time.Time{} // each line has its own deadline
	if s.takes--; s.takes < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.ResponseRecorder.Write(p)
}

// TestStalledReaderOfARecordingIsEnded checks that the recording of a client that stops reading ends at the deadline of a
// line, and no longer counts as a recording of its key.
func TestStalledReaderOfARecordingIsEnded(t *testing.T) {
	p := &chatty{newProgram(), make(chan error, 1)}
	n := alone(t, func(c *api.Config) { p.use(c); c.Recorder = p })
	for range 20 { // more recordings than a key may have in progress
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9090/api/tenants/acme/record", nil)
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		w := &stalling{httptest.NewRecorder(), t, 50, time.Time{}}
		n.api.Handler().ServeHTTP(w, r)
		if err := <-p.ended; w.Code != 200 || err == nil {
			t.Fatalf("%d, the recording ended with %v", w.Code, err)
		}
	}
}
