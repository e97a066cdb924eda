package examples_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/webhook"
)

// TestReceivers sends events to each receiver: signed ones, alone and in a batch, are printed once, and others are refused.
func TestReceivers(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	binary := t.TempDir() + "/receiver"
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./receivers/go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, args := range map[string][]string{
		"Node.js": {"node", "receivers/receiver.mjs"},
		"Python":  {"python3", "receivers/receiver.py"},
		"Go":      {binary},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, args[0], append(args[1:], secret)...)
			cmd.Env, cmd.Stderr = append(os.Environ(), "PORT=0"), os.Stderr
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatalf("the receiver does not start: %v", err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			lines := bufio.NewScanner(out)
			next := func() string {
				if !lines.Scan() {
					t.Fatalf("the receiver has ended: %v", lines.Err())
				}
				return lines.Text()
			}
			var port int
			if _, err := fmt.Sscanf(next(), "listening on %d", &port); err != nil {
				t.Fatal(err)
			}
			send := func(secret string, batch bool, records ...events.Record) error {
				s, err := webhook.New(webhook.Config{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Secrets: []string{secret}, Batch: batch})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				return s.Send(ctx, records, 0).Err
			}
			record := func(n uint64) events.Record {
				return events.Record{Sink: events.Sink{Tenant: "t", Name: "local"}, Sequence: n,
					Event: events.NewEvent(fmt.Sprint("evt_", n), events.RoomCreated, "x", "", events.Room{Room: "x"})}
			}
			other := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
			if err := send(other, false, record(1)); err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("an event with another secret: %v", err)
			}
			for _, err := range []error{send(secret, false, record(1)), send(secret, false, record(1)), send(secret, true, record(1), record(2), record(3))} {
				if err != nil {
					t.Error(err)
				}
			}
			for n := 1; n <= 3; n++ {
				if got, want := next(), fmt.Sprintf(`%016d moot.room.created {"room":"x"}`, n); got != want {
					t.Errorf("the receiver printed %s, want %s", got, want)
				}
			}
		})
	}
}
