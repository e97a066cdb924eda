package redis

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/wire"
)

// talker is a client of an engine on a node. It records the ids of the messages that it receives, also from history.
type talker struct {
	*enginetest.Client
	t   *testing.T
	ids map[string]string // by text
}

// talkerFrame is a part of the frames that a talker reads.
type talkerFrame struct {
	ID, Message, Context, Error, Epoch string
	Offset                             uint64
	Data                               json.RawMessage
}

// talkerData is a part of the data of an answer.
type talkerData struct {
	Session  string
	Messages []talkerFrame
}

func (f *talkerFrame) data() (d talkerData) {
	_ = json.Unmarshal(f.Data, &d) // other answers have other data
	return d
}

func connectTalker(t *testing.T, e *enginetest.Engine) *talker {
	t.Helper()
	c, err := enginetest.Connect(t, e.Engine, wire.WebSocket, engine.ReservationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return &talker{c, t, map[string]string{}}
}

// read reads what the client has received, and returns the last answer.
func (c *talker) read() (answer talkerFrame) {
	c.t.Helper()
	for _, text := range c.Received() {
		var f talkerFrame
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
		if f.Context == "response" {
			answer = f
		}
		for _, m := range append(f.data().Messages, f) {
			if m.Message == "" || m.Error != "" || f.Context == "api" {
				continue
			}
			if had := c.ids[m.Message]; had != "" && had != m.ID {
				c.t.Errorf("%q has the ids %s and %s", m.Message, had, m.ID)
			}
			c.ids[m.Message] = m.ID
		}
	}
	return answer
}

// does runs a request until the cluster answers, and returns the answer.
func (c *talker) does(request string) (answer talkerFrame) {
	c.t.Helper()
	eventually(c.t, request, func() bool {
		c.Run(request)
		for answer = (talkerFrame{}); answer.Context == ""; {
			changed := c.Sink.Changed()
			if answer = c.read(); answer.Context == "" {
				<-changed
			}
		}
		if answer.Error != "" && !strings.Contains(answer.Error, "cluster unavailable") && !strings.Contains(answer.Error, "outcome unknown") {
			c.t.Fatalf("%s: %s", request, answer.Error)
		}
		return answer.Error == ""
	})
	return answer
}

// says says a text, and returns its id.
func (c *talker) says(text string) string {
	c.t.Helper()
	return c.does(fmt.Sprintf(`{"event":"say","room":"r","message":%q,"key":%q,"messageId":1}`, text, text)).ID
}

// has waits until the client has received the messages with these ids.
func (c *talker) has(what string, want map[string]string) {
	c.t.Helper()
	if err := redistest.Await(what, func() bool { c.read(); return maps.Equal(c.ids, want) }); err != nil {
		c.t.Errorf("%s: the client has %v, want %v", what, c.ids, want)
	}
}

// TestAMessageKeepsItsID checks that a message has one id: in the answer to its say, for members on all nodes, for a member whose
// node was cut off and reads it later, for a client that resumes its session on another node, after a failover that has lost the
// message, and in history.
func TestAMessageKeepsItsID(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	links, nodes := []*link{{}, {}}, []*enginetest.Engine{}
	for i, name := range []string{"a", "b"} {
		n := open(t, Config{Addresses: []string{f.Address()}, Node: name, dialer: links[i].dial})
		nodes = append(nodes, enginetest.Start(t, func(c *engine.Config) {
			c.Cluster, c.Grace = n.Cluster(), time.Minute
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 100, For: time.Minute}}}
		}))
	}
	const join, history = `{"event":"roomAdd","room":"r","messageId":1}`, `{"event":"roomHistory","room":"r","messageId":1}`
	ann, bob, cleo := connectTalker(t, nodes[0]), connectTalker(t, nodes[1]), connectTalker(t, nodes[1])
	for _, c := range []*talker{ann, bob, cleo} {
		c.does(join)
	}
	details := cleo.does(`{"event":"detailsView","messageId":1}`)
	secret := details.data().Session
	want := map[string]string{}
	says := func(text string) { want[text] = ann.says(text) }
	says("first")
	for i, c := range []*talker{ann, bob, cleo} {
		c.has(fmt.Sprint("member ", i), want)
	}
	cleo.HangUp()

	links[1].disconnect()
	says("while a node is cut off")
	links[1].mend()
	bob.has("the node that was cut off", want)

	back := connectTalker(t, nodes[0])
	back.does(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret))
	back.ids["first"] = cleo.ids["first"] // was received before
	back.has("a resumed session", want)

	successor := f.snapshot()
	says("lost in a failover")
	ann.has("the publisher's node", want)
	successor()
	says("after the failover")
	bob.has("after a failover", want)
	back.has("after a resume and a failover", want)

	late := connectTalker(t, nodes[1])
	late.does(join)
	late.does(history)
	late.has("history", want)
	if ids := slices.Sorted(maps.Values(want)); len(slices.Compact(ids)) != 4 || ids[0] == "" {
		t.Errorf("the messages have the ids %v", want)
	}
}
