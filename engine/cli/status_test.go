package cli

import (
	"errors"
	"testing"

	"github.com/mootchat/moot/engine/api"
)

func TestStatusExitCodes(t *testing.T) {
	node := func(name string) api.Node {
		return api.Node{Name: name, Ready: true, Version: "v1", Revision: "r1"}
	}
	old, other, busy, lost := node("old"), node("other"), node("busy"), api.Node{Name: "lost", Error: "no answer"}
	old.Version, other.Revision, busy.Ready = "v0", "r2", false
	for _, c := range []struct {
		nodes []api.Node
		code  int
		text  string
	}{
		{nil, exitOK, ""},
		{[]api.Node{node("a"), node("b")}, exitOK, ""},
		{[]api.Node{node("a"), old}, exitDiffer, "the nodes run 2 different versions: v0 (old); v1 (a)"},
		{[]api.Node{node("a"), other}, exitDiffer, "the nodes run 2 different revisions: r1 (a); r2 (other)"},
		{[]api.Node{node("a"), lost, busy, old}, exitUnwell, "node lost did not answer, node busy is not ready"},
	} {
		err := (&status{Nodes: c.nodes}).finding()
		var found finding
		if errors.As(err, &found); found.code != c.code || err != nil && err.Error() != c.text {
			t.Errorf("found %v, code %d, want %q, code %d", err, found.code, c.text, c.code)
		}
	}
}
