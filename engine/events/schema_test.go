package events_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

// dataOf has the type of the data of each kind.
var dataOf = map[string]any{
	"member.joined": events.Member{}, "member.left": events.Member{}, "room.created": events.Room{}, "room.destroyed": events.Room{},
	"sanction.set": events.Sanction{}, "sanction.removed": events.Sanction{}, "message.held": events.Held{}, "message.decided": events.Held{},
	"message.retracted": events.Amended{}, "message.edited": events.Amended{}, "message.published": events.Message{},
	"report.filed": events.Report{}, "report.resolved": events.Report{}, "rule.decided": events.Decision{}, "test": events.Ping{},
}

// TestSchemaDescribesTheTypes checks that the schema has each kind and no other, and that its fields, their types and the required ones are those of
// the types in data.go.
func TestSchemaDescribesTheTypes(t *testing.T) {
	schema, err := eventstest.ReadSchema()
	if err != nil {
		t.Fatal(err)
	}
	if kinds := append(events.Names(), "test"); !slices.Equal(slices.Sorted(slices.Values(kinds)), schema.Kinds()) {
		t.Fatalf("the schema has the kinds %q, want %q", schema.Kinds(), kinds)
	}
	var text struct {
		Defs map[string]struct {
			Properties map[string]struct{ Type string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(events.Schema(), &text); err != nil {
		t.Fatal(err)
	}
	described := map[reflect.Type]map[string]bool{}
	for kind, data := range dataOf {
		of, fields := reflect.TypeOf(data), schema.Fields(kind)
		if described[of] == nil {
			described[of] = map[string]bool{}
		}
		for i := range of.NumField() {
			name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			required, has := fields[name]
			described[of][name] = described[of][name] || has
			if always := options != "omitempty"; always && !required {
				t.Errorf("%s: %s is always there, and the schema does not require it", kind, name)
			}
			want := map[reflect.Kind]string{reflect.String: "string", reflect.Slice: ""}[of.Field(i).Type.Kind()]
			if of.Field(i).Type.ConvertibleTo(reflect.TypeFor[int]()) {
				want = "integer"
			}
			if got := text.Defs[kind].Properties[name].Type; has && got != want && (want != "string" || got != "") { // an enum has no type
				t.Errorf("%s: %s is of type %q in the schema, want %q", kind, name, got, want)
			}
			delete(fields, name)
		}
		for name := range fields {
			t.Errorf("%s: the type has no field %s", kind, name)
		}
	}
	for of, names := range described {
		for name, is := range names {
			if !is {
				t.Errorf("no kind with data of type %v describes %s", of, name)
			}
		}
	}
}

// TestSchemaRefusesOtherEvents checks that the check of the kit can fail.
func TestSchemaRefusesOtherEvents(t *testing.T) {
	schema, err := eventstest.ReadSchema()
	if err != nil {
		t.Fatal(err)
	}
	r := events.Record{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Sequence: 1,
		Event: events.NewEvent(events.NewID(), events.MemberLeft, "x y", "ann", events.Member{Room: "x y", Connection: "c", User: "ann", Cause: "disconnect"})}
	good, err := r.AppendJSON(nil, 3)
	if err == nil {
		err = schema.Check(good)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ from, to string }{{`"disconnect"`, `"bored"`}, {`,"connection":"c"`, ``}, {`"user":"ann"`, `"user":7`}, {`"user"`, `"person"`}, {`evt_`, `e_`}, {`"sequence":"0`, `"sequence":"`}} {
		if bad := strings.Replace(string(good), change.from, change.to, 1); bad == string(good) || schema.Check([]byte(bad)) == nil {
			t.Errorf("the schema accepts %s", bad)
		}
	}
}
