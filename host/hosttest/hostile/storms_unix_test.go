//go:build unix

package hostile

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
)

// processTime returns the CPU time of the process.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestWakesStayWithinTheShareOfTheirTenant has a hostile tenant with a twentieth of the processors wake instances again and
// again, from several goroutines. In the time that passes, the process must not use more CPU time than three times that
// share: wakes and the garbage that they leave are charged to the tenant. On a busy machine it uses less.
func TestWakesStayWithinTheShareOfTheirTenant(t *testing.T) {
	const share, length = 0.05, 2 * time.Second
	for _, s := range storms {
		t.Run(s.name, func(t *testing.T) {
			w := open(t)
			defer w.end()
			rules := host.Rules{Modules: []host.Module{{Name: "m", Wasm: counter(s.change, s.misbehave)}}, Tenants: []host.Tenant{{Name: "hostile", CPU: share}}}
			for i := range hostileEntries {
				rules.Tenants[0].Chain = append(rules.Tenants[0].Chain, host.Entry{Module: "m", OnError: host.AllowOnError, Memory: s.memory,
					Config: fmt.Appendf(nil, `{"n":%d}`, i), Breaker: host.Breaker{Minimum: 1 << 30}})
			}
			r, err := w.Load(context.Background(), rules)
			w.must(err)
			w.Swap(r)
			begin, before := time.Now(), processTime(t)
			var storming sync.WaitGroup
			for range 4 {
				storming.Go(func() {
					for time.Since(begin) < length {
						w.ask("hostile", hook.OnSayReceive)
					}
				})
			}
			storming.Wait()
			used, passed := processTime(t)-before, time.Since(begin)
			most := time.Duration(3 * share * float64(runtime.GOMAXPROCS(0)) * float64(passed))
			t.Logf("%v of CPU time in %v", used, passed)
			if used > most {
				t.Errorf("%v of CPU time in %v, want at most %v", used, passed, most)
			}
		})
	}
}
