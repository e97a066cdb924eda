package host

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
)

func TestAProfileIsEncodedOnceForEachShape(t *testing.T) {
	p := alice()
	a, b := fullView().conn, fullView().conn
	if encode(p, &a) != encode(p, &b) {
		t.Error("equal shapes have their own encodings")
	}
	first := encode(p, &a)
	for i := range 3 * maxEncoded {
		v, err := viewOf([]string{fmt.Sprintf("properties.p%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		encode(p, &v.conn)
		if n := p.Derived.Load().(*encoded).more; n >= maxEncoded {
			t.Fatalf("%d encodings are kept", n+1)
		}
	}
	if again := encode(p, &a); again == first || string(again.blob) != string(first.blob) || again.hash != first.hash {
		t.Error("made anew, it is another")
	}
}

func TestProfilesAreEncodedByManyAtOnce(t *testing.T) {
	p := alice()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 100 {
				v, _ := viewOf([]string{"id", fmt.Sprintf("properties.p%d", (i+k)%12)})
				if e := encode(p, &v.conn); e.key != v.conn.key {
					t.Error("it has another shape")
				}
			}
		})
	}
	all.Wait()
}

func TestPropertiesThatDoNotFitAreLeftOut(t *testing.T) {
	p := alice()
	large := json.RawMessage(`"` + string(make([]byte, abi.MaxProperties)) + `"`)
	p.Properties[0].Value = large
	v, _ := viewOf([]string{"properties.mood", "properties.role"})
	blob := encode(p, &v.conn).blob
	if want := len(appendConnection(nil, alice(), &v.conn)); len(blob) >= want {
		t.Errorf("the blob has %d bytes", len(blob))
	}
}

// goldenFrame is a frame of the golden file with which SDKs are tested.
type goldenFrame struct {
	Name   string
	Number int
	Minor  int
	JSON   bool
	Event  struct {
		Fields           map[string]string
		SentAt, Sequence uint64
	}
	Connection *goldenConnection
	Receivers  []goldenConnection
	Answer     *goldenAnswer
	Hex        string
}

type goldenAnswer struct {
	Fields         map[string]string
	Status, Number int
}

// reply returns the answer; nil: a hook is called.
func (g *goldenAnswer) reply() *reply {
	if g == nil {
		return nil
	}
	r := &reply{&question{name: g.Fields["name"]}, ask.Answer{Status: g.Status}, uint64(g.Number)}
	if body, ok := g.Fields["body"]; ok {
		r.Body = json.RawMessage(body)
	}
	if state, ok := g.Fields["state"]; ok {
		r.state = []byte(state)
	}
	return r
}

type goldenConnection struct {
	Fields                map[string]string
	Properties            []struct{ Name, Value string }
	ConnectedAt, JoinedAt int64
}

// unit returns the connection as a unit that shows exactly the fields that it has.
func (g *goldenConnection) unit() unit {
	p := &hook.Profile{Connection: hook.Connection{ID: g.Fields["id"], Fingerprint: g.Fields["fingerprint"], User: g.Fields["user"], Transport: g.Fields["transport"],
		RemoteIP: g.Fields["remoteIP"], Tenant: g.Fields["tenant"], Locale: g.Fields["locale"], ConnectedAt: g.ConnectedAt}}
	shows := fullView().conn
	for _, property := range g.Properties {
		shows.add("properties." + property.Name)
		p.Properties = append(p.Properties, hook.NamedProperty{Property: hook.Property{Name: property.Name, Value: json.RawMessage(property.Value)}})
	}
	shows.seal()
	return unit{encoded: encode(p, &shows), joinedAt: g.JoinedAt}
}

func TestFramesAreTheGoldenOnes(t *testing.T) {
	data, err := os.ReadFile("../sdk/vectors/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var frames []goldenFrame
	if err := json.Unmarshal(data, &frames); err != nil {
		t.Fatal(err)
	}
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	g := h.current.Load().generations[0]
	in, f := g.pool.take(t.Context(), now(), now()+int64(time.Minute))
	if f != nil {
		t.Fatal(f)
	}
	defer g.pool.put(in)
	compared := 0
	for _, frame := range frames {
		if !frame.plain() {
			continue
		}
		compared++
		ev := frame.event()
		var conn *encoded
		if frame.Connection != nil {
			conn = frame.Connection.unit().encoded
		}
		var units []unit
		for _, r := range frame.Receivers {
			units = append(units, r.unit())
		}
		if f := in.writeFrame(abi.Hook(frame.Number), ev, conn, frame.Answer.reply(), len(units), appendUnits(nil, units)); f != nil {
			t.Errorf("%s: %v", frame.Name, f)
			continue
		}
		bytes := in.memory()[in.buffer:][:len(frame.Hex)/2]
		if got := binary.LittleEndian.Uint16(bytes[abi.FrameMinor:]); got != abi.Minor {
			t.Errorf("%s: the minor version is %d", frame.Name, got)
		}
		if got := hex.EncodeToString(bytes); got != frame.Hex {
			t.Errorf("%s:\n%s, want\n%s", frame.Name, got, frame.Hex)
		}
	}
	if compared < 20 {
		t.Errorf("only %d frames were compared", compared)
	}
}

// plain reports whether this host makes the frame for a module that sees everything. Other frames
// are for a module that sees less, or have empty fields or fields of a later version.
func (g *goldenFrame) plain() bool {
	all := append([]goldenConnection(nil), g.Receivers...)
	if g.Connection != nil {
		all = append(all, *g.Connection)
	}
	for _, c := range all {
		if _, empty := c.Fields["locale"]; empty && c.Fields["locale"] == "" || c.ConnectedAt == 0 && len(c.Fields) > 0 {
			return false
		}
	}
	room, hasRoom := g.Event.Fields["room"]
	return g.Minor == abi.Minor && !strings.Contains(g.Name, "later minor") && (!hasRoom || room != "")
}

func (g *goldenFrame) event() *hook.Event {
	f := g.Event.Fields
	ev := &hook.Event{Hook: hook.Hook(g.Number), Tenant: f["tenant"], Room: f["room"], From: f["from"], Context: f["context"],
		Message: wire.Message{Text: f["message"], JSON: g.JSON}, Cause: hook.Cause(f["cause"]), Action: f["action"],
		MessageID: f["messageId"], Edits: f["edits"], SentAt: int64(g.Event.SentAt), Sequence: g.Event.Sequence}
	if g.Connection != nil {
		ev.JoinedAt = g.Connection.JoinedAt
	}
	if params, ok := f["params"]; ok {
		ev.Params = json.RawMessage(params)
	}
	return ev
}
