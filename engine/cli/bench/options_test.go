package bench

import (
	"strings"
	"testing"
	"time"
)

func good() Options {
	return Options{URL: "ws://127.0.0.1:8080", Prefix: "bench-", Rooms: 1, Members: 2, Senders: 1, Window: 1, Size: MinSize, Duration: time.Second, MaxMessages: 1}
}

func TestOptionsOutOfBoundsAreNamed(t *testing.T) {
	o := good()
	if err := o.Check(); err != nil {
		t.Fatalf("good options: %v", err)
	}
	for want, change := range map[string]func(*Options){
		"--rooms: 0 is":              func(o *Options) { o.Rooms = 0 },
		"--members: -1 is":           func(o *Options) { o.Members = -1 },
		"--senders: 3 is":            func(o *Options) { o.Senders = 3 },
		"--rooms x --members":        func(o *Options) { o.Rooms, o.Members = 1000, 1000 },
		"--size: 40 is":              func(o *Options) { o.Size = MinSize - 1 },
		"--window: -1 is":            func(o *Options) { o.Window = -1 },
		"--rate, --window: want":     func(o *Options) { o.Window = 0 },
		"--rate, --window: want on":  func(o *Options) { o.Rate = 1 },
		"--rate: -1 is":              func(o *Options) { o.Window, o.Rate = 0, -1 },
		"--duration: 0s is":          func(o *Options) { o.Duration = 0 },
		"--settle: -1s is":           func(o *Options) { o.Settle = -time.Second },
		"--warmup: 2h0m0s is":        func(o *Options) { o.Warmup = 2 * time.Hour },
		"--max-messages: 0 is":       func(o *Options) { o.MaxMessages = 0 },
		"is not a URL such as ws://": func(o *Options) { o.URL = "http://127.0.0.1" },
		"speaks the protocol of /ws": func(o *Options) {
			o.URL = "ws://127.0.0.1/primus"
		},
	} {
		o := good()
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}

func TestOtherHostsAreLoadedOnlyOnRequest(t *testing.T) {
	for url, here := range map[string]bool{
		"ws://localhost:8080/ws": true, "ws://127.1.2.3/ws": true, "wss://[::1]:1/tenant/ws": true,
		"ws://192.168.0.1/ws": false, "ws://chat.example.com/ws": false, "ws://localhost.example.com/ws": false, "ws://0.0.0.0:8080/ws": false,
	} {
		o := good()
		o.URL = url
		if err := o.Check(); (err == nil) != here || err != nil && !strings.Contains(err.Error(), "--remote") {
			t.Errorf("%s: %v", url, err)
		}
		o.Remote = true
		if err := o.Check(); err != nil {
			t.Errorf("%s, with --remote: %v", url, err)
		}
	}
}
