package density

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// talking is the number of tenants with clients.
const talking = 100

// row is a line of the table: a value, and the largest one that is acceptable on two cores.
type row struct {
	what, unit   string
	value, bound float64 // bound 0: none
}

// bounds are the acceptable values for a number of tenants.
type bounds struct{ megabytes, start, restart, reload float64 }

// boundsOf returns the bounds for n tenants.
func boundsOf(n int) bounds {
	switch {
	case n <= 100:
		return bounds{200, 1, 1, 0.3}
	case n <= 1000:
		return bounds{250, 2, 2, 0.3}
	}
	return bounds{500, 15, 3, 0.3}
}

// boundOfTenant is the acceptable memory of a tenant without clients, in KB.
const boundOfTenant = 30

// numbers returns the numbers of tenants to measure.
func numbers(b *testing.B) (all []int) {
	for _, text := range strings.Split(cmp.Or(os.Getenv("TENANTS"), "100,1000,10000"), ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < talking {
			b.Fatalf("TENANTS is %q: want numbers of %d or more, separated by commas", text, talking)
		}
		all = append(all, n)
	}
	return all
}

// BenchmarkTenants measures a node with many tenants: its starts, its memory before and after a hundred tenants have
// talked and while they chat, the first message of a tenant, a reload of one tenant, and what operators ask for. It prints a table with the
// bounds for two cores. They are not enforced, because the results depend on the machine.
func BenchmarkTenants(b *testing.B) {
	p := build(b)
	for _, n := range numbers(b) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				rows := p.measure(b, n)
				fmt.Printf("\n| %d tenants with three Go rules | value | bound |\n| --- | --- | --- |\n", n)
				for _, r := range rows {
					bound := ""
					if r.bound > 0 {
						bound = fmt.Sprintf("%g", r.bound)
						if r.value > r.bound {
							bound += ", exceeded"
						}
						b.ReportMetric(r.value, strings.ReplaceAll(r.what, " ", "-")+"-"+r.unit)
					}
					fmt.Printf("| %s, %s | %.4g | %s |\n", r.what, r.unit, r.value, bound)
				}
			}
		})
	}
}

// BenchmarkDefaultConfiguration measures a server with the configuration of this repository: its first start, without a cache, and
// its memory without clients.
func BenchmarkDefaultConfiguration(b *testing.B) {
	p := build(b)
	for b.Loop() {
		s := p.start(b, "../../../config.yaml", "--set", "cache="+b.TempDir(), "--set", "log.level=debug", "--set", "http.listen=127.0.0.1:0",
			"--set", "socket.listen=", "--set", "admin.listen=127.0.0.1:0", "--set", "admin.key="+key)
		memory := s.memory(b)
		s.stop(b)
		fmt.Printf("\n| default configuration | value | bound |\n| --- | --- | --- |\n| first start, s | %.3g | 1 |\n| memory without clients, MB | %.4g | 60 |\n",
			s.start.Seconds(), float64(memory)/1e6)
		b.ReportMetric(s.start.Seconds(), "start-s")
		b.ReportMetric(float64(memory)/1e6, "memory-MB")
	}
}

// measure starts n tenants twice, and returns the values.
func (p *program) measure(b *testing.B, n int) (rows []row) {
	bound := boundsOf(n)
	file := p.write(b, n)
	add := func(what, unit string, value, bound float64) { rows = append(rows, row{what, unit, value, bound}) }
	s := p.start(b, file)
	add("start", "s", s.start.Seconds(), bound.start)
	s.stop(b)
	add("processor time of a start and a stop", "s", processorTime(s.cmd), 0)
	s = p.start(b, file)
	restart := s.start
	s.stop(b)
	add("start when nothing changed", "s", restart.Seconds(), bound.restart)
	add("processor time of a start when nothing changed and a stop", "s", processorTime(s.cmd), 0)
	s = p.start(b, file)
	defer s.stop(b)
	silent := s.memory(b)
	add("memory without clients", "MB", float64(silent)/1e6, bound.megabytes)
	add("memory of one tenant without clients", "KB", float64(silent-p.alone)/1e3/float64(n-1), boundOfTenant)
	var first, second []time.Duration
	var tenants []int
	for i := range talking {
		tenants = append(tenants, i*n/talking)
		woken, again := s.talk(b, tenants[i])
		first, second = append(first, woken), append(second, again)
	}
	add("memory after 100 tenants talked", "MB", float64(s.memory(b))/1e6, bound.megabytes)
	add("memory while 100 tenants chat", "MB", float64(s.memoryDuringLoad(b, tenants))/1e6, bound.megabytes)
	add("first message median", "ms", quantile(first, 0.5), 1)
	add("first message p99", "ms", quantile(first, 0.99), 3)
	add("second message median", "ms", quantile(second, 0.5), 0)
	var reloads []time.Duration
	for version := range 5 {
		p.writeTenants(b, n, 0, version+1)
		reloads = append(reloads, s.reload(b))
	}
	add("reload of one tenant median", "s", quantile(reloads, 0.5)/1e3, bound.reload)
	p.own(b, s, n, quantile(reloads, 0.5), add)
	p.operate(b, s, file, add)
	return rows
}

// ownModules is the number of tenants that own adds.
const ownModules = 20

// own adds tenants, each with its own module in C, and measures the time and memory of one. reload is the time of a reload
// without them, in ms.
func (p *program) own(b *testing.B, s *node, n int, reload float64, add func(what, unit string, value, bound float64)) {
	wasm, err := os.ReadFile(filepath.Join(p.guests, "builtin/slowmode.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(p.dir, fmt.Sprint(n))
	var text strings.Builder
	for i := range ownModules {
		section := fmt.Sprintf("\x05own%02d", i) // a custom section gives each module another digest
		name := fmt.Sprintf("own%d", i)
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), append(append(slices.Clone(wasm), 0, byte(len(section))), section...), 0o600); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&text, "  %s: { match: { host: %s.example }, chain: [ { module: %s, grants: [rate] } ] }\n", name, name, name)
	}
	modules := "modules:\n"
	for i := range ownModules {
		modules += fmt.Sprintf("  own%d: { file: own%d.wasm }\n", i, i)
	}
	before := s.memory(b)
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte(modules+"tenants:\n"+text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	took := s.reload(b).Seconds() * 1e3
	add("a tenant's own module in C, with its tenant, first load", "ms", (took-reload)/ownModules, 0)
	add("a tenant's own module in C, with its tenant", "MB", float64(s.memory(b)-before)/1e6/ownModules, 0.4)
}

// memoryDuringLoad returns the memory a second before a load of messages ends. The clients have joined long before, so that the
// rules for joins are asleep.
func (s *node) memoryDuringLoad(b *testing.B, tenants []int) int {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.load(b, tenants)
	}()
	time.Sleep(loadTime - time.Second)
	memory := s.memory(b)
	b.Logf("%.0f instances while 100 tenants chat", s.metric(b, "moot_module_instances"))
	<-ended
	return memory
}

// processorTime returns the processor time of a process that has ended, in seconds.
func processorTime(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// operate measures what operators ask for.
func (p *program) operate(b *testing.B, s *node, file string, add func(what, unit string, value, bound float64)) {
	for _, path := range []string{"/metrics", "/api/tenants?limit=100", "/api/modules?limit=100", "/api/usage", "/api/tenants/t0/rooms?counts=true", "/api/tenants/t0/connections"} {
		var took []time.Duration
		size := 0
		for range 5 {
			time.Sleep(time.Second) // a scrape is followed by a pause, in which another one waits
			begin := time.Now()
			size = len(s.ask(b, http.MethodGet, path))
			took = append(took, time.Since(begin))
		}
		path, _, _ = strings.Cut(path, "?")
		add("GET "+path, "ms", quantile(took, 0.5), 0)
		add("GET "+path, "KB", float64(size)/1e3, 0)
	}
	for _, command := range [][]string{{"status", "--url", "http://" + s.admin}, {"check", "-c", file}} {
		cmd := exec.Command(p.file, command...)
		cmd.Env = append(os.Environ(), "MOOT_ADMIN_KEY="+key)
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("moot %s: %v\n%.2000s", command[0], err, out)
		}
		add("moot "+command[0], "s", time.Since(begin).Seconds(), 0)
		add("moot "+command[0]+" memory", "MB", float64(maxRSS(cmd))/1e6, 0)
	}
}

// quantile returns a quantile in milliseconds.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))].Seconds() * 1e3
}
