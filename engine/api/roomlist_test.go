package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/wire"
)

// list reads all pages of a list, and returns the names of its items.
func (n *node) list(path, field string) (names []string, pages int) {
	n.t.Helper()
	for cursor := ""; ; pages++ {
		status, answer := n.request("GET", path+"&cursor="+url.QueryEscape(cursor), "")
		var page map[string]json.RawMessage
		var items []struct{ Name string }
		if json.Unmarshal([]byte(answer), &page) != nil || json.Unmarshal(page[field], &items) != nil || status != http.StatusOK {
			n.t.Fatalf("%s: %d %s", path, status, answer)
		}
		for _, item := range items {
			names = append(names, item.Name)
		}
		if page["cursor"] == nil {
			return names, pages + 1
		}
		if err := json.Unmarshal(page["cursor"], &cursor); err != nil {
			n.t.Fatal(err)
		}
	}
}

func TestRoomsAreFoundByAPartOfTheirName(t *testing.T) {
	var rooms []string
	fast := func(c *api.Config) { c.RequestsPerSecond = 10_000 }
	for i := range 2500 {
		rooms = append(rooms, fmt.Sprintf("Room-%04d", i))
	}
	n := startWith(t, memory.New().Node("one"), []engine.TenantConfig{{Name: "acme", StartingRooms: rooms}}, fast)
	path := "/api/tenants/acme/rooms?limit=10&search="
	if names, pages := n.list(path+"m-24", "rooms"); len(names) != 100 || pages != 10 || names[0] != "Room-2400" || names[99] != "Room-2499" {
		t.Errorf("%d names on %d pages: %v", len(names), pages, names)
	}
	if names, _ := n.list(path+"OOM-0007", "rooms"); fmt.Sprint(names) != "[Room-0007]" {
		t.Errorf("%v", names)
	}
	if names, pages := n.list(path+"nothing", "rooms"); len(names) != 0 || pages != 1 {
		t.Errorf("%v on %d pages", names, pages)
	}
	if names, _ := n.list(path+"&prefix=Room-1", "rooms"); len(names) != 1000 {
		t.Errorf("%d names", len(names))
	}
}

func TestRoomsAndTenantsInTheOrderOfTheirSize(t *testing.T) {
	n := startWith(t, memory.New().Node("one"), []engine.TenantConfig{{Name: "acme", StartingRooms: []string{"a", "b", "c"}}, {Name: "beta", StartingRooms: []string{"x"}}, {Name: "idle"}})
	for room, members := range map[string]int{"b": 3, "c": 1} {
		for range members {
			n.client("acme").Do(t.Context(), wire.Request{Verb: "roomAdd", Room: room, RoomGiven: true})
		}
	}
	if names, pages := n.list("/api/tenants/acme/rooms?limit=2&sort=members", "rooms"); fmt.Sprint(names) != "[b c a]" || pages != 2 {
		t.Errorf("%v on %d pages", names, pages)
	}
	for sort, want := range map[string]string{"connections": "[acme beta idle]", "rooms": "[acme beta idle]", "name": "[acme beta idle]"} {
		if names, _ := n.list("/api/tenants?limit=1&sort="+sort, "tenants"); fmt.Sprint(names) != want {
			t.Errorf("%s: %v", sort, names)
		}
	}
	n.client("idle").Do(t.Context(), wire.Request{Verb: "detailsView"})
	for range 5 {
		n.client("idle")
	}
	if names, _ := n.list("/api/tenants?limit=2&sort=connections", "tenants"); names[0] != "idle" {
		t.Errorf("%v", names)
	}
	for _, path := range []string{"/api/tenants?sort=rooms&cursor=x", "/api/tenants/acme/rooms?sort=members&cursor=-1"} {
		if status, answer := n.request("GET", path, ""); status != http.StatusUnprocessableEntity || code(answer) != api.CodeInvalid {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

func TestStoredMessagesOfARoom(t *testing.T) {
	n := startWith(t, memory.New().Node("one"), []engine.TenantConfig{{Name: "acme", StartingRooms: []string{"den", "hall"}, Rooms: []engine.RoomSettings{{Match: func(room string) bool { return room == "den" }, Retention: cluster.Retention{Messages: 10, For: time.Minute}}}}})
	c := n.client("acme")
	for _, room := range []string{"den", "hall"} {
		c.Do(t.Context(), wire.Request{Verb: "roomAdd", Room: room, RoomGiven: true})
	}
	for i := range 4 {
		c.Do(t.Context(), wire.Request{Verb: "say", Room: "den", RoomGiven: true, Text: fmt.Sprint("message ", i)})
	}
	c.Await("message 3")
	for query, want := range map[string]string{"": "0 1 2 3", "?limit=2": "2 3", "?limit=2&beforeOffset=3": "0 1"} {
		status, answer := n.request("GET", "/api/tenants/acme/rooms/den/messages"+query, "")
		var got struct {
			Kept     bool
			Messages []struct {
				ID, From, Message string
				Offset            uint64
			}
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK || !got.Kept {
			t.Fatalf("%s: %d %s", query, status, answer)
		}
		var texts []string
		for _, m := range got.Messages {
			texts = append(texts, strings.TrimPrefix(m.Message, "message "))
			if m.From != c.ID() || m.ID == "" || m.Offset == 0 {
				t.Errorf("%s: %+v", query, m)
			}
		}
		if strings.Join(texts, " ") != want {
			t.Errorf("%s: %v", query, texts)
		}
	}
	if status, answer := n.request("GET", "/api/tenants/acme/rooms/hall/messages", ""); status != http.StatusOK || !strings.Contains(answer, `"kept":false`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := n.request("GET", "/api/tenants/acme/rooms/none/messages", ""); code(answer) != api.CodeNoRoom {
		t.Errorf("%d %s", status, answer)
	}
}
