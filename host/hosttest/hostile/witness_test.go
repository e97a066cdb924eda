package hostile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// witness is a process beside the test that has about the load of a server with a hostile tenant: it uses half of the
// processors, and passes messages between goroutines. It runs no guests, so its latency is that of the machine, which may be
// busy with other programs.
type witness struct {
	t       testing.TB
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// asWitness is the environment variable that makes the test binary the witness.
const asWitness = "MOOT_TEST_WITNESS"

func newWitness(t testing.TB) *witness {
	t.Helper()
	w := &witness{t: t, command: exec.Command(os.Args[0], "-test.run=^$")}
	w.command.Env = append(os.Environ(), asWitness+"=1")
	var err error
	if w.in, err = w.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// begin begins a measurement.
func (w *witness) begin() { w.tell("begin") }

// end ends the measurement and returns its 99th percentile.
func (w *witness) end() (p99 time.Duration) {
	w.tell("end")
	if _, err := fmt.Fscanln(w.out, &p99); err != nil {
		w.t.Fatal(err)
	}
	return p99
}

func (w *witness) tell(what string) {
	if _, err := fmt.Fprintln(w.in, what); err != nil {
		w.t.Fatal(err)
	}
}

// stop ends the process.
func (w *witness) stop() {
	w.in.Close()
	if err := w.command.Wait(); err != nil {
		w.t.Error(err)
	}
}

// runWitness is the main function of the witness.
func runWitness() {
	var working atomic.Bool
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() { // begin
		working.Store(true)
		for range max(1, runtime.GOMAXPROCS(0)/2) {
			go func() {
				for working.Load() {
					for end := time.Now().Add(500 * time.Microsecond); time.Now().Before(end); {
					}
					runtime.Gosched()
				}
			}()
		}
		measured := make(chan time.Duration)
		go func() { measured <- passMessages(&working) }()
		requests.Scan() // end
		working.Store(false)
		fmt.Println(int64(<-measured))
	}
}

// passMessages passes a message along goroutines at the pace of the dialogue, until working is false, and returns the
// 99th percentile of the latency.
func passMessages(working *atomic.Bool) time.Duration {
	first := make(chan struct{})
	last := first
	for range 6 {
		from, to := last, make(chan struct{})
		go func() {
			defer close(to)
			for range from {
				to <- struct{}{}
			}
		}()
		last = to
	}
	defer close(first)
	turn := time.NewTicker(pace)
	defer turn.Stop()
	var took []time.Duration
	for working.Load() {
		due := <-turn.C
		first <- struct{}{}
		<-last
		took = append(took, time.Since(due))
	}
	slices.Sort(took)
	return took[len(took)-1-len(took)/100]
}
