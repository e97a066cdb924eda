//go:build unix

package web

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

var question200 = []byte(`{"hook":"onSayReceive","room":"lobby","message":"` + string(bytes.Repeat([]byte("hello "), 25)) + `"}`)

// cpu returns the processor time of the process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAsk asks a local service, and sends the same request with a client of net/http, in turns of 100 in one run. It reports the processor
// time of each, with that of the service, and the difference.
func BenchmarkAsk(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"score":0.25}`)
	}))
	defer server.Close()
	c := New(Limits{})
	defer c.Close()
	made, err := c.Service("acme", "toxic", "score", Spec{URL: server.URL, Headers: map[string]string{"authorization": "Bearer 0123456789abcdef"}})
	if err != nil {
		b.Fatal(err)
	}
	c.Configure(Limits{}, map[string]Use{"acme": {TenantLimits{Rate: 1e6}, []ask.Service{made}}})
	bare := &http.Client{Transport: &http.Transport{}, Timeout: time.Second}
	defer bare.CloseIdleConnections()
	var ours, theirs time.Duration
	const turn = 100
	for b.Loop() {
		began := cpu(b)
		for range turn {
			if _, err := made.Ask(b.Context(), question200); err != nil {
				b.Fatal(err)
			}
		}
		between := cpu(b)
		for range turn {
			if err := request(bare, server.URL); err != nil {
				b.Fatal(err)
			}
		}
		ours, theirs = ours+between-began, theirs+cpu(b)-between
	}
	n := float64(b.N*turn) * 1e3
	b.ReportMetric(float64(ours)/n, "ask-cpu-us")
	b.ReportMetric(float64(theirs)/n, "bare-cpu-us")
	b.ReportMetric(float64(ours-theirs)/n, "more-cpu-us")
	b.ReportMetric(0, "ns/op")
}

func request(client *http.Client, address string) error {
	r, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(question200))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer 0123456789abcdef")
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return err
}

// BenchmarkOpen asks a service whose breaker is open.
func BenchmarkOpen(b *testing.B) {
	c := New(Limits{})
	defer c.Close()
	s, err := c.Service("acme", "toxic", "score", Spec{URL: "http://127.0.0.1:1/"})
	if err != nil {
		b.Fatal(err)
	}
	for range breakerMinimum {
		_, _ = s.Ask(b.Context(), nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Ask(b.Context(), nil); err == nil {
			b.Fatal("it was asked")
		}
	}
}

// BenchmarkCached asks for answers in the cache.
func BenchmarkCached(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"score":0.25}`) }))
	defer server.Close()
	c := New(Limits{})
	defer c.Close()
	s, err := c.Service("acme", "toxic", "score", Spec{URL: server.URL, Cache: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Ask(b.Context(), question200); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConfigured measures the memory of an ask that is configured and not used, at 10,000 tenants with one each.
func BenchmarkConfigured(b *testing.B) {
	const tenants = 10_000
	var used float64
	for b.Loop() {
		before := heap()
		c := New(Limits{})
		use := map[string]Use{}
		for i := range tenants {
			name := fmt.Sprint("tenant", i)
			s, err := c.Service(name, "toxic", "score", Spec{URL: "https://scores.example.com/v1", Headers: map[string]string{"authorization": "Bearer 0123456789abcdef"}, Cache: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			use[name] = Use{TenantLimits{}, []ask.Service{s}}
		}
		c.Configure(Limits{}, use)
		use = nil
		used += float64(heap()-before) / tenants
		runtime.KeepAlive(c)
		c.Close()
	}
	b.ReportMetric(used/float64(b.N), "B/ask")
	b.ReportMetric(0, "ns/op")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkBreaker passes a breaker that is closed.
func BenchmarkBreaker(b *testing.B) {
	c := New(Limits{})
	defer c.Close()
	s := c.tenant("acme")
	made := s.service("score", key{}, Spec{URL: "http://127.0.0.1:1/"})
	b.ReportAllocs()
	for b.Loop() {
		breaker := made.breakerOf()
		done, err := breaker.Allow()
		if err != nil {
			b.Fatal(err)
		}
		done(nil)
	}
}

// BenchmarkDown asks services that are down a hundred times a second, and measures the time until their breakers are open.
func BenchmarkDown(b *testing.B) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts connections and does not answer
	if err != nil {
		b.Fatal(err)
	}
	defer silent.Close()
	for name, address := range map[string]string{"refuses": "http://127.0.0.1:1/", "hangs": "http://" + silent.Addr().String() + "/"} {
		b.Run(name, func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				c := New(Limits{})
				made, err := c.Service("acme", "toxic", "score", Spec{URL: address, Timeout: 500 * time.Millisecond})
				if err != nil {
					b.Fatal(err)
				}
				var all sync.WaitGroup
				began, tick := time.Now(), time.NewTicker(10*time.Millisecond)
				for !made.(*service).open() {
					all.Go(func() { _, _ = made.Ask(b.Context(), nil) })
					<-tick.C
				}
				took += time.Since(began)
				tick.Stop()
				all.Wait()
				c.Close()
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms-until-open")
			b.ReportMetric(0, "ns/op")
		})
	}
}
