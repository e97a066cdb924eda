//go:build chaos

package redis

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// editedRoom is the room with history in which clients edit and retract their messages.
const editedRoom = "edited"

// edits are the answered amendments of the clients of a round.
type edits struct {
	editors []*client

	mu       sync.Mutex
	versions map[string]int  // by id of a message: the last version that was answered
	gone     map[string]bool // ids of messages whose retraction was answered
	reads    int             // joins, resumes and pages that were checked
	wrong    []string        // texts that clients received though they were replaced or retracted before
}

// known is what was answered at a moment.
type known struct {
	versions map[string]int
	gone     map[string]bool
}

func (e *edits) now() *known {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reads++
	return &known{maps.Clone(e.versions), maps.Clone(e.gone)}
}

func (e *edits) report(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wrong = append(e.wrong, fmt.Sprintf(format, args...))
}

// view is what a client shows of editedRoom.
type view struct {
	before   *known         // what was answered before the client joined; nil: the client has stayed since the first message
	versions map[string]int // by id of a message: the version that the client shows; gone for a retracted one
}

const gone = -1

// versionOf returns the number at the end of "NAME K VERSION".
func versionOf(text string) int {
	n, _ := strconv.Atoi(text[strings.LastIndex(text, " ")+1:])
	return n
}

// see applies a message or an amendment to what the client shows, and checks it. The lock of the client is held.
func (c *client) see(a answer) {
	v, e := c.view, c.r.edits
	if a.Retracts != "" {
		v.versions[a.Retracts] = gone
		return
	}
	version := versionOf(a.Message)
	if before := v.before; before != nil && (before.gone[a.ID] || version < before.versions[a.ID]) {
		e.report("%.1fs %s received %q of %s: version %d was answered before it joined, retracted: %v", time.Since(c.r.began).Seconds(), c.name, a.Message, a.ID, before.versions[a.ID], before.gone[a.ID])
	}
	last, shown := v.versions[a.ID]
	switch {
	case last == gone:
		e.report("%s received %q after its retraction", c.name, a.Message)
	case a.Edits == "" && shown && v.before == nil: // a client that returns may have seen the message before
		e.report("%s received the message %s again", c.name, a.ID)
	case version < last:
		e.report("%s received %q after version %d", c.name, a.Message, last)
	}
	v.versions[a.ID] = max(last, version)
}

// editClients makes an editor on each site say, edit and retract messages, and other clients join, resume and read history.
func (r *round) editClients() {
	r.edits = &edits{versions: map[string]int{}, gone: map[string]bool{}}
	for i, s := range r.sites {
		c := r.viewer(fmt.Sprint("editor", i), nil)
		r.must(c.connect(s))
		r.must(c.join(editedRoom))
		r.edits.editors = append(r.edits.editors, c)
	}
	for i, c := range r.edits.editors {
		rng := r.branch(uint64(60 + i))
		r.work.Go(func() {
			for k := 0; !r.over.Load() && !r.late(); k++ {
				c.lifeOfMessage(k, rng.IntN(4), rng.IntN(2) == 0)
				r.breath(50 * time.Millisecond)
			}
		})
	}
	for i := range r.sites {
		order := slices.Concat(r.sites[i:], r.sites[:i])
		rng, other := r.branch(uint64(70+i)), r.branch(uint64(80+i))
		r.work.Go(func() { r.viewer(fmt.Sprint("rejoiner", i), &known{}).rejoins(order, rng) })
		r.work.Go(func() { r.viewer(fmt.Sprint("sleeper", i), &known{}).sleeps(order, other) })
	}
}

// viewer returns a client that asks for amendments in editedRoom.
func (r *round) viewer(name string, before *known) *client {
	c := r.newClient(name)
	c.places[editedRoom] = &visits{}
	c.view = &view{before: before, versions: map[string]int{}}
	return c
}

// lifeOfMessage says a message, edits it, and possibly retracts it.
func (c *client) lifeOfMessage(k, edits int, retract bool) {
	text := func(version int) string { return fmt.Sprintf("%s %d %d", c.name, k, version) }
	id := c.change(map[string]any{"event": "say", "room": editedRoom, "message": text(0), "key": fmt.Sprint(c.name, k)})
	if id == "" {
		return
	}
	e := c.r.edits
	for version := 1; version <= edits; version++ {
		if c.change(map[string]any{"event": "edit", "room": editedRoom, "id": id, "message": text(version)}) == "" {
			return
		}
		e.mu.Lock()
		e.versions[id] = version
		e.mu.Unlock()
	}
	if retract && c.change(map[string]any{"event": "retract", "room": editedRoom, "id": id}) != "" {
		e.mu.Lock()
		e.gone[id] = true
		e.mu.Unlock()
	}
}

// change sends a request until it succeeds. It returns the id of the message; "": the outcome of the say is unknown, or the round is
// over. An edit or a retraction may be repeated.
func (c *client) change(request map[string]any) (id string) {
	for began := time.Now(); !c.r.late(); c.r.breath(50 * time.Millisecond) {
		a, err := c.ask(request, nil)
		refused := a.Error != "" && !strings.Contains(a.Error, "unavailable") && !strings.Contains(a.Error, "unknown") && !strings.Contains(a.Error, "time")
		switch {
		case err != nil:
			c.r.Errorf("%s, who stays: %v", c.name, err)
			return ""
		case a.Error == "" && a.ID != "":
			return a.ID
		case a.Error == "":
			return fmt.Sprint(request["id"])
		case strings.Contains(a.Error, "unknown") && request["event"] == "say":
			return ""
		case refused && time.Since(began) > 20*time.Second: // a message may be out of history until it is published again
			c.r.Errorf("%s: %v: %s", c.name, request, a.Error)
			return ""
		}
	}
	return ""
}

// rejoins makes a client join with its last position on one site after the other, and read history.
func (c *client) rejoins(sites []*site, rng *rand.Rand) {
	for k := 0; !c.r.over.Load() && !c.r.late(); k++ {
		c.starts()
		if c.connect(sites[k%len(sites)]) != nil || c.join(editedRoom) != nil {
			c.r.breath(50 * time.Millisecond)
			continue
		}
		c.readPage()
		c.r.breath(time.Duration(100+rng.IntN(500)) * time.Millisecond)
		c.hangUp()
	}
}

// starts notes what was answered before the client returns.
func (c *client) starts() {
	before := c.r.edits.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view.before = before
}

// readPage checks the last messages of history.
func (c *client) readPage() {
	before := c.r.edits.now()
	a, err := c.ask(map[string]any{"event": "roomHistory", "room": editedRoom, "limit": 100}, nil)
	var page struct{ Messages []answer }
	if err != nil || a.Error != "" || json.Unmarshal(a.Data, &page) != nil {
		return
	}
	for _, m := range page.Messages {
		if version := versionOf(m.Message); before.gone[m.ID] || version < before.versions[m.ID] {
			c.r.edits.report("%.1fs %s reads %q of %s in history: version %d was answered before, retracted: %v", time.Since(c.r.began).Seconds(), c.name, m.Message, m.ID, before.versions[m.ID], before.gone[m.ID])
		}
	}
}

// sleeps makes a client lose its connection, and resume its session on the next site.
func (c *client) sleeps(sites []*site, rng *rand.Rand) {
	secret := ""
	for k := 0; !c.r.over.Load() && !c.r.late(); k++ {
		c.starts()
		if c.connect(sites[k%len(sites)]) != nil {
			c.r.breath(50 * time.Millisecond)
			continue
		}
		if secret = c.wakes(secret); secret == "" {
			var details struct{ Session string }
			if c.join(editedRoom) == nil {
				if a, err := c.ask(map[string]any{"event": "detailsView"}, nil); err == nil {
					_ = json.Unmarshal(a.Data, &details) // "": the session is not resumed
				}
			}
			secret = details.Session
		}
		c.r.breath(time.Duration(100+rng.IntN(500)) * time.Millisecond)
		c.hangUp()
		c.r.breath(time.Duration(rng.IntN(1000)) * time.Millisecond)
	}
}

// wakes resumes the session, and returns its new secret; "": it has ended.
func (c *client) wakes(secret string) string {
	for secret != "" && !c.r.late() {
		next, a, err := c.resume(editedRoom, secret)
		switch {
		case err != nil:
			return secret
		case a.Error == "":
			return next
		case strings.Contains(a.Error, "ended"):
			return ""
		}
		c.r.breath(100 * time.Millisecond) // the session is busy, or the cluster is unavailable
	}
	return ""
}

// checkEdits checks that no client received a text that was replaced or retracted before it joined, resumed or read history, that the
// editors show the answered versions, and that the sites have the same history.
func (r *round) checkEdits() {
	e := r.edits
	last := e.editors[0].change(map[string]any{"event": "say", "room": editedRoom, "message": "the last message 0", "key": "last"})
	for _, c := range e.editors {
		shows := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			_, ok := c.view.versions[last]
			return ok
		}
		if redistest.Await("the last message is received", shows) != nil {
			r.Errorf("%s did not receive the last message of %q", c.name, editedRoom)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.wrong) > 0 && !r.delayed {
		r.Errorf("%d wrong texts: %s", len(e.wrong), strings.Join(e.wrong[:min(5, len(e.wrong))], "; "))
	}
	for _, c := range e.editors {
		c.mu.Lock()
		for id, version := range e.versions {
			want := version
			if e.gone[id] {
				want = gone
			}
			if shown := c.view.versions[id]; shown != want && !(want != gone && shown > want) && !r.delayed {
				r.Errorf("%s shows version %d of %s, want %d", c.name, shown, id, want)
			}
		}
		for id := range e.gone {
			if c.view.versions[id] != gone && !r.delayed {
				r.Errorf("%s shows %s, which was retracted", c.name, id)
			}
		}
		c.mu.Unlock()
	}
	room := cluster.RoomID{Tenant: "default", Room: editedRoom}
	history := func(s *site) (all []string) {
		stored, _, err := s.StoredMessages(r.ctx, room, 0, 1000)
		r.must(err)
		for _, m := range stored {
			all = append(all, string(m))
		}
		return all
	}
	for _, s := range r.sites[1:] {
		if a, b := history(r.sites[0]), history(s); !slices.Equal(a, b) {
			r.Errorf("%s and %s have different histories of %q: %d and %d messages", r.sites[0].node.cfg.Node, s.node.cfg.Node, editedRoom, len(a), len(b))
		}
	}
	r.Logf("clients: %d messages edited, %d retracted, %d joins, resumes and pages checked", len(e.versions), len(e.gone), e.reads)
}
