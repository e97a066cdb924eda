package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
)

// chaptered is a history with pages of several epochs, one for each read.
type chaptered struct {
	pages  []cluster.Page
	during func() // called after each read, before its page is used
}

func (h *chaptered) Read(context.Context, cluster.RoomID, cluster.Position, int, cluster.Retention) (cluster.Page, error) {
	page := h.pages[0]
	if len(h.pages) > 1 {
		h.pages = h.pages[1:]
	}
	h.during()
	return page, nil
}

// place returns the position of a message named like "b4": epoch b, offset 4.
func place(name string) (at cluster.Position) {
	at.Epoch = name[:1]
	_, _ = fmt.Sscan(name[1:], &at.Offset)
	return at
}

// deliver delivers messages, whose texts are their names, as the backend does.
func (n *node) deliver(names []string) {
	for _, name := range names {
		n.Deliver(n.w.Context(), in("r"), place(name), fmt.Appendf(nil, `{"message":%q,"room":"r","context":"user"}`, name))
	}
	synctest.Wait()
}

// TestClientsReceiveEachMessageOnceAcrossEpochs checks a client that comes back while an epoch
// ends. Epoch a ended after message 3, and messages a4 and a5, if there are any, were lost with
// a server; epoch b began with message 4. The client receives each message once, or its
// connection ends if the server cannot know which messages it has.
func TestClientsReceiveEachMessageOnceAcrossEpochs(t *testing.T) {
	page := func(top string, missed ...string) cluster.Page {
		p := cluster.Page{Top: place(top)}
		if p.Top.Epoch == "b" {
			p.Former = []cluster.Position{{Epoch: "a", Offset: 3}}
		}
		for _, name := range missed {
			p.Messages = append(p.Messages, cluster.StoredMessage{Offset: place(name).Offset, Payload: fmt.Appendf(nil, `{"message":%q,"room":"r","context":"user"}`, name)})
		}
		return p
	}
	for name, test := range map[string]struct {
		since        string
		pages        []cluster.Page
		held, passed []string // delivered during the read, and after the answer
		want         []string
		ends         bool
	}{
		"the node is behind the history":          {"b4", []cluster.Page{page("b5", "b5")}, []string{"a2", "a3", "b4"}, []string{"b5", "b6"}, []string{"b5", "b6"}, false},
		"it is behind after the answer":           {"b4", []cluster.Page{page("b5", "b5")}, nil, []string{"a2", "a3", "b4", "b5", "b6"}, []string{"b5", "b6"}, false},
		"the epoch ends after the read":           {"a2", []cluster.Page{page("a3", "a3")}, []string{"a3", "b4"}, []string{"b5"}, []string{"a3", "b4", "b5"}, false},
		"it ends after the answer":                {"a2", []cluster.Page{page("a3", "a3")}, nil, []string{"a3", "b4", "b5"}, []string{"a3", "b4", "b5"}, false},
		"the history was lost, and is read again": {"b4", []cluster.Page{page("a5", "a5"), page("b5", "b5")}, []string{"b4", "b5"}, []string{"b6"}, []string{"b5", "b6"}, false},
		"messages of the history were lost":       {"a4", []cluster.Page{page("a5", "a5")}, nil, []string{"b4", "b5"}, []string{"a5"}, true},
		"a message was not published again":       {"b4", []cluster.Page{page("b5", "b5")}, nil, []string{"a3", "a4"}, []string{"b5"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				h := &chaptered{pages: test.pages}
				n := w.node("one", keeps(100), func(c *engine.Config) { c.Cluster.History = h })
				h.during = func() { n.deliver(test.held); test.held = nil }
				a := n.client()
				since := place(test.since)
				answer, heard := a.joins("r", &remembered{Epoch: since.Epoch, Offset: since.Offset})
				w.recovered(answer, true)
				n.deliver(test.passed)
				rest := a.heard()
				if _, _, closed := a.Sink.Counts(); closed > 0 != test.ends {
					w.Errorf("the connection ended: %v, want %v", closed > 0, test.ends)
				}
				var want []string
				for _, name := range test.want {
					want = append(want, fmt.Sprint(place(name).Offset, " ", name))
				}
				w.equal("received", append(heard, placesOf(w, rest)...), want)
			})
		})
	}
}
