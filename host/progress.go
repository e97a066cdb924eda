package host

import (
	"fmt"
	"sync"
)

// progress is the progress of the load under way.
type progress struct {
	mu           sync.Mutex
	checked, all int          // generations
	steps        map[int]step // under way, by number
	last         int          // the number of the last step
}

// step is a part of a load that may take long.
type step struct {
	does           string
	module, tenant string // tenant "": the step is for all tenants
}

func (s step) String() string {
	if s.tenant == "" {
		return fmt.Sprintf("%s module %s", s.does, s.module)
	}
	return fmt.Sprintf("%s module %s of tenant %s", s.does, s.module, s.tenant)
}

const (
	stepRead      = "reading"
	stepTranslate = "translating"
	stepCompile   = "compiling"
	stepStart     = "starting"
)

// expect begins to count generations that must be checked.
func (p *progress) expect(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked, p.all = 0, n
}

// check counts a generation that was checked.
func (p *progress) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked++
}

// begin records that a step is under way until end is called.
func (p *progress) begin(does, module, tenant string) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == nil {
		p.steps = make(map[int]step)
	}
	p.last++
	n := p.last
	p.steps[n] = step{does, module, tenant}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.steps, n)
	}
}

// Progress is the progress of the load under way, or of the last one if none is under way.
type Progress struct {
	Checked, All int    // modules with their configs
	Step         string // the step under way that began first, such as "starting module gate of tenant acme"; "": none
	Reading      bool   // the step reads a file or fetches a module
}

// Progress returns how far the load under way is. It may be called at any time, also during Load.
func (h *Host) Progress() Progress {
	p := &h.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Progress{Checked: p.checked, All: p.all}
	first := 0
	for n, s := range p.steps {
		if first == 0 || n < first {
			first, out.Step, out.Reading = n, s.String(), s.does == stepRead
		}
	}
	return out
}
