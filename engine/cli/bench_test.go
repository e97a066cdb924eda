package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mootchat/moot/engine/cli/bench"
)

// benchedScript checks the rate and the deliveries in the JSON of a bench, with a tolerance for a busy machine.
func benchedScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: benched FILE RATE MEMBERS")
	}
	rate, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	members, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	var r bench.Result
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	if math.Abs(r.MessagesPerSecond-rate) > rate/2 || math.Abs(float64(r.Deliveries)-members*float64(r.Messages)) > members*rate/2 {
		ts.Fatalf("%v messages/s, %d deliveries of %d messages", r.MessagesPerSecond, r.Deliveries, r.Messages)
	}
	if r.Fault() != nil || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P50 || r.Connections != 10 {
		ts.Fatalf("the result is %+v", r)
	}
}

// pictureScript checks that a file has the image format of its extension.
func pictureScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: picture FILE")
	}
	magic := map[bool]string{true: "\x89PNG\r\n\x1a\n", false: "<svg "}[strings.HasSuffix(args[0], ".png")]
	if text := ts.ReadFile(args[0]); !strings.HasPrefix(text, magic) {
		ts.Fatalf("%s begins with %.10q", args[0], text)
	}
}

func TestBenchFlagsBecomeOptions(t *testing.T) {
	var c benchCommand
	parse := func(args string) error {
		cmd := newCommand("bench", "", &c, map[string]string{"minSize": "0"}, func(context.Context, runner) error { return nil })
		cmd.SetArgs(strings.Fields(args))
		return cmd.Execute()
	}
	if err := parse(""); err != nil {
		t.Fatal(err)
	}
	want := bench.Options{URL: "ws://127.0.0.1:8080/ws", Prefix: "bench-", Rooms: 1, Members: 100, Senders: 1, Window: 16,
		Size: 128, Warmup: 2 * time.Second, Duration: 10 * time.Second, MaxMessages: 10_000_000}
	if got, _, err := c.options(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without flags the options are %+v, %v; want %+v", got, err, want)
	}
	if err := parse("--url wss://example.com/a/ws --remote --prefix p --rooms 2 --members 3 --senders 2 --rate 1.5 " +
		"--size 200 --duration 1m --warmup 0s --max-messages 9 --pid 7 --json --plot a.svg"); err != nil {
		t.Fatal(err)
	}
	want = bench.Options{URL: "wss://example.com/a/ws", Remote: true, Prefix: "p", Rooms: 2, Members: 3, Senders: 2, Rate: 1.5,
		Size: 200, Duration: time.Minute, MaxMessages: 9, PID: 7}
	if got, format, err := c.options(); err != nil || !reflect.DeepEqual(got, want) || format != bench.SVG || !c.JSON {
		t.Errorf("the options are %+v, %s, %v; want %+v", got, format, err, want)
	}
}

func TestBenchProgressIsLinesOrOneLine(t *testing.T) {
	var lines, place bytes.Buffer
	for _, p := range []*progress{{w: &lines}, {w: &place, inPlace: true}} {
		p.show(bench.Progress{Phase: bench.Connecting, Connected: 1, Connections: 2})
		p.show(bench.Progress{Phase: bench.Connecting, Connected: 2, Connections: 2})
		p.end()
	}
	if want := "connected 1/2\nconnected 2/2\n"; lines.String() != want {
		t.Errorf("in lines it is %q; want %q", lines.String(), want)
	}
	if want := clearLine + "connected 1/2" + clearLine + "connected 2/2" + clearLine; place.String() != want {
		t.Errorf("in place it is %q; want %q", place.String(), want)
	}
}

func TestBenchOfWrongOptionsIsMisuse(t *testing.T) {
	var out, err bytes.Buffer
	c := benchCommand{URL: "ws://192.0.2.1", Plot: "a.png"}
	var wrong misuse
	if got := c.Run(context.Background(), terminal{out: &out, err: &err}); !errors.As(got, &wrong) || out.Len()+err.Len() > 0 {
		t.Errorf("the error is %v, the output %s%s", got, &out, &err)
	}
}
