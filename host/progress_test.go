package host

import (
	"bytes"
	"io"
	"testing"
)

// TestProgressNamesTheStepUnderWay checks that the progress of a load has the step under way: the file that it reads, and later the step that
// began first.
func TestProgressNamesTheStepUnderWay(t *testing.T) {
	h, _ := start(t, Config{})
	if p := h.Progress(); p != (Progress{}) {
		t.Errorf("no load is under way: %+v", p)
	}
	var during Progress
	rules := rulesFor(Entry{Module: "allow"})
	m := &rules.Modules[0]
	wasm := m.Wasm
	m.Wasm, m.Open = nil, func() (io.ReadCloser, error) {
		during = h.Progress()
		return io.NopCloser(bytes.NewReader(wasm)), nil
	}
	swap(t, h, rules)
	if during.Step != "reading module allow" || !during.Reading {
		t.Errorf("while a file is read: %+v", during)
	}
	if p := h.Progress(); p != (Progress{Checked: 1, All: 1}) {
		t.Errorf("after the load: %+v", p)
	}
	first, second := h.progress.begin(stepCompile, "gate", ""), h.progress.begin(stepStart, "allow", "acme")
	if p := h.Progress(); p.Step != "compiling module gate" || p.Reading {
		t.Errorf("two steps: %+v", p)
	}
	first()
	if p := h.Progress(); p.Step != "starting module allow of tenant acme" {
		t.Errorf("the second step: %+v", p)
	}
	second()
}
