package hosttest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// hostCall is a script with which the guest calls a host function during one event, and the expected report.
type hostCall struct {
	function, name, script, want string
	hook                         abi.Hook // 0: action
}

var hostCalls = []hostCall{
	{abi.ImportLog, "log", "log 2 " + text("a line"), "", 0},
	{abi.ImportNow, "now_ms", "now", fmt.Sprint("now=", noon), 0},
	{abi.ImportConfigGet, "config_get: absent", "config " + text("nothing"), "config=!-1", 0},
	{abi.ImportPropertyGet, "property of the connection", "prop " + text("role"), `prop="member"`, abi.Join},
	{abi.ImportPropertyGet, "property: absent", "prop " + text("mood"), "prop=!-1", abi.Join},
	{abi.ImportPropertySet, "property_set", "setprop " + text("mood") + " " + text(`"fine"`), "setprop=0", 0},
	{abi.ImportPropertySet, "property_set: not granted", "setprop " + text("role") + " " + text(`"admin"`), "setprop=!-2", 0},
	{abi.ImportPropertySet, "property_set: not JSON", "setprop " + text("mood") + " " + text("fine"), "setprop=!-4", 0},
	{abi.ImportRoomGet, "room_get", "roomget " + text("lobby"), `roomget={"room":"lobby","membersCount":3}`, 0},
	{abi.ImportRoomGet, "room_get: absent", "roomget " + text("nowhere"), "roomget=!-1", 0},
	{abi.ImportRoomSize, "room_size", "roomsize", "roomsize=3", abi.Join},
	{abi.ImportRoomSize, "room_size: at say", "roomsize", "roomsize=!-6", abi.Say},
	{abi.ImportRoomCreate, "room_create", "roomnew " + text("new"), "roomnew=0", 0},
	{abi.ImportRoomDestroy, "room_destroy", "roomend " + text("old"), "roomend=0", 0},
	{abi.ImportRoomCreate, "room_create: at say", "roomnew " + text("new"), "roomnew=!-2", abi.Say},
	{abi.ImportKVGet, "kv_get: longer than the first buffer", "get " + text("long"), "get=" + strings.Repeat("x", 5000), 0},
	{abi.ImportKVGet, "kv_get: empty", "get " + text("gone"), "get=", 0},
	{abi.ImportKVGet, "kv_get: absent", "get " + text("nothing"), "get=!-1", 0},
	{abi.ImportKVGet, "kv_get: at say", "get " + text("gone"), "get=", abi.Say},
	{abi.ImportKVSet, "kv_set", "set " + text("k") + " " + text("grüße") + " 0;get " + text("k"), "set=0\nget=grüße", 0},
	{abi.ImportKVSet, "kv_set: at say", "set " + text("k") + " " + text("v") + " 0", "set=!-2", abi.Say},
	{abi.ImportKVDel, "kv_del", "del " + text("k") + ";del " + text("k"), "del=1\ndel=0", 0},
	{abi.ImportKVAdd, "kv_add: beyond 32 bits", "add " + text("n") + " 1099511627776 0;add " + text("n") + " -1 0", "add=1099511627776\nadd=1099511627775", 0},
	{abi.ImportKVAdd, "kv_add: no number", "add " + text("long") + " 1 0", "add=!-6", 0},
	{abi.ImportKVCAS, "kv_cas", "cas " + text("c") + "  " + text("1") + " 0;cas " + text("c") + " " + text("2") + " " + text("3") + " 0;cas " + text("c") + " " + text("1") + " " + text("2") + " 0",
		"cas=1\ncas=0\ncas=1", 0},
	{abi.ImportRateTake, "rate_take", "take " + text("r") + " 1 1000 1;take " + text("r") + " 1 1000 1", "take=0\ntake=1000", 0},
	{abi.ImportRateTake, "rate_take: more than the bucket holds", "take " + text("q") + " 2 1000 1", "take=!-5", 0},
	{abi.ImportEmit, "emit to a room", "emit 0 " + text("lobby") + " " + text("hello"), "emit=0", 0},
	{abi.ImportEmit, "emit JSON to a connection", "emit 3 " + text("77") + " " + text(`{"a":1}`), "emit=0", 0},
	{abi.ImportEmit, "emit: five times", strings.Repeat("emit 0 "+text("lobby")+" "+text("x")+";", 5), "emit=0\nemit=0\nemit=0\nemit=0\nemit=!-3", 0},
	{abi.ImportEmit, "emit: no JSON", "emit 1 " + text("lobby") + " " + text("{"), "emit=!-4", 0},
	{abi.ImportSanctionSet, "sanction_set: a user", "sanction " + text("mute") + " " + text("ann") + "   600000 " + text("be \"kind\"") + " " + text("3 strikes"), "sanction=0", 0},
	{abi.ImportSanctionSet, "sanction_set: an address, in rooms, without an end", "sanction " + text("ban") + "  " + text("2001:db8::1") + " " + text("game-*") + " 0  ", "sanction=0", 0},
	{abi.ImportSanctionSet, "sanction_set: no user or address", "sanction " + text("mute") + "    0  ", "sanction=!-4", 0},
	{abi.ImportSanctionSet, "sanction_set: no kind", "sanction  " + text("ann") + "   0  ", "sanction=!-4", 0},
	{abi.ImportSanctionSet, "sanction_set: at say", "sanction " + text("mute") + " " + text("ann") + "   0  ", "sanction=!-2", abi.Say},
	{abi.ImportSanctionPardon, "sanction_pardon", "pardon " + text("mute") + " " + text("ann") + "  ", "pardon=0", 0},
	{abi.ImportMemberRemove, "member_remove", "remove " + text("77") + " " + text("lobby") + " " + text("off topic"), "remove=0", 0},
	{abi.ImportMemberRemove, "member_remove: no room", "remove " + text("77") + "  ", "remove=!-4", 0},
	{abi.ImportMemberRemove, "member_remove: at say", "remove " + text("77") + " " + text("lobby") + " ", "remove=!-2", abi.Say},
	{abi.ImportConnectionClose, "connection_close", "close " + text("77") + " " + text("bye"), "close=0", 0},
	{abi.ImportConnectionClose, "connection_close: the reason is too long", "close " + text("77") + " " + text(strings.Repeat("r", abi.MaxRemoval+1)), "close=!-5", 0},
	{abi.ImportEmit, "emit to a user", "emit 4 " + text("ann") + " " + text("hello"), "emit=0", 0},
	{abi.ImportUserSet, "user_set: the connection has a user", "user " + text("bob") + ";user " + text("ann"), "user=!-2\nuser=0", 0},
	{abi.ImportUserSet, "user_set: at say", "user " + text("ann"), "user=!-2", abi.Say},
	{abi.ImportUserSet, "user_set: at join", "user " + text("ann"), "user=!-2", abi.Join},
	{abi.ImportMessageRetract, "message_retract", "retract " + text("lobby") + " " + text("m-1_A"), "retract=0", 0},
	{abi.ImportMessageRetract, "message_retract: no room", "retract  " + text("m1"), "retract=!-4", 0},
	{abi.ImportMessageRetract, "message_retract: not an id", "retract " + text("lobby") + " " + text("m 1"), "retract=!-4", 0},
	{abi.ImportMessageRetract, "message_retract: the id is too long", "retract " + text("lobby") + " " + text(strings.Repeat("m", abi.MaxMessageID+1)), "retract=!-5", 0},
	{abi.ImportMessageRetract, "message_retract: at say", "retract " + text("lobby") + " " + text("m1"), "retract=!-2", abi.Say},
	{abi.ImportMessageEdit, "message_edit", "edit 0 " + text("lobby") + " " + text("m1") + " " + text("grüße") + ";edit 1 " + text("lobby") + " " + text("m1") + " " + text(`{"a":1}`), "edit=0\nedit=0", 0},
	{abi.ImportMessageEdit, "message_edit: no text", "edit 0 " + text("lobby") + " " + text("m1") + " ", "edit=!-4", 0},
	{abi.ImportMessageEdit, "message_edit: no JSON", "edit 1 " + text("lobby") + " " + text("m1") + " " + text("{"), "edit=!-4", 0},
	{abi.ImportMetricAdd, "metric_add", "count " + text("things") + " 3", "count=0", 0},
	{"", "JSON string", "quote " + text("a\"\\\n\x01ü"), "", 0},
	{abi.ImportRandom, "random", "random 32;random 32", "", 0},
}

// hostFunctions makes the guest call each host function.
func (c *conformance) hostFunctions() {
	imported := make(map[string]bool)
	for _, im := range c.module.Inspection.Imports {
		imported[im.Name] = im.Module == abi.ImportModule
	}
	// The frame contains properties and config, so a guest needs no import to read them.
	imported[""], imported[abi.ImportPropertyGet], imported[abi.ImportConfigGet] = true, true, true
	for _, f := range hostCalls {
		if !imported[f.function] {
			c.report.add("host function", f.name, Failed, "the guest does not import "+f.function)
			continue
		}
		c.report.check("host function", f.name, c.hostCall(f))
	}
	c.report.check("host function", "a key expires", c.expiry())
	c.report.check("host function", "effects are in the answer", c.effects())
	c.report.check("host function", "a user is set once", c.identifies())
	c.report.check("host function", "sanctions, removals and amendments are in the answer to a denied event", c.moderates())
}

func (c *conformance) hostCall(f hostCall) error {
	hook := f.hook
	if hook == 0 {
		hook = abi.Action
	}
	a, err := c.call(event(hook, f.script))
	if err != nil {
		return err
	}
	got, err := reportIn(hook, &a)
	if err != nil {
		return err
	}
	switch op, _, _ := strings.Cut(f.script, " "); op {
	case "log":
		if len(a.Log) != 1 || a.Log[0] != "warn a line" {
			return fmt.Errorf("it logged %q", a.Log)
		}
	case "random":
		first, second, _ := strings.Cut(got, "\n")
		if first == second || len(first) != len("random=")+64 || len(second) != len(first) {
			return fmt.Errorf("it reports %q", got)
		}
		return nil
	case "quote":
		value, _ := strings.CutPrefix(got, "quote=")
		var s string
		if err := json.Unmarshal([]byte(value), &s); err != nil || s != "a\"\\\n\x01ü" {
			return fmt.Errorf("it reports %q", value)
		}
		return nil
	}
	return compareLines(got, strings.Split(f.want, "\n"))
}

func (c *conformance) expiry() error {
	get := "get " + text("brief")
	for _, step := range []struct{ script, want string }{{"set " + text("brief") + " " + text("v") + " 1000;" + get, "set=0\nget=v"}, {get, "get=!-1"}} {
		if err := c.hostCall(hostCall{script: step.script, want: step.want}); err != nil {
			return err
		}
		c.module.Advance(time.Second)
	}
	if err := c.hostCall(hostCall{script: "take " + text("r") + " 1 1000 1", want: "take=0"}); err != nil {
		return err
	}
	return c.hostCall(hostCall{script: "now", want: "now=" + strconv.Itoa(noon+2000)})
}

// effects checks the effects of an event that the guest allows.
func (c *conformance) effects() error {
	a, err := c.call(event(abi.Action, "setprop "+text("mood")+" "+text(`"fine"`)+";roomnew "+text("new")+";roomend "+text("old")+
		";emit 0 "+text("lobby")+" "+text("hello")+";emit 3 "+text("77")+" "+text(`{"a":1}`)+";emit 5 "+text("ann")+" "+text(`[2]`)))
	if err != nil {
		return err
	}
	hello := "hello"
	want := trial.Answer{Verdict: "allow", Reply: a.Reply, Properties: map[string]trial.JSON{"mood": trial.JSON(`"fine"`)},
		Created: []string{"new"}, Destroyed: []string{"old"},
		Emits: []trial.Emit{{Room: "lobby", Message: &hello}, {Connection: "77", JSON: trial.JSON(`{"a":1}`)}, {User: "ann", JSON: trial.JSON(`[2]`)}}}
	if !a.Same(&want) {
		return fmt.Errorf("the answer is %s, want %s", jsonOf(a), jsonOf(want))
	}
	return nil
}

// identifies checks the user that the guest sets for a connection without one.
func (c *conformance) identifies() error {
	for _, hook := range []abi.Hook{abi.Connect, abi.Action} {
		e := event(hook, "user "+text("grüß")+";user "+text("bob")+";user "+text("")+";user "+text(strings.Repeat("u", abi.MaxUser+1)))
		e.Connection.User = ""
		a, err := c.call(e)
		if err != nil {
			return err
		}
		got, err := reportIn(hook, &a)
		if err == nil {
			err = compareLines(got, []string{"user=0", "user=!-2", "user=!-4", "user=!-5"})
		}
		if err != nil {
			return fmt.Errorf("at %v: %w", hook, err)
		}
		if hook == abi.Action && a.User != "grüß" {
			return fmt.Errorf("at %v: the answer is %s", hook, jsonOf(a))
		}
	}
	return nil
}

// moderates checks the effects of an event that the guest denies.
func (c *conformance) moderates() error {
	a, err := c.call(event(abi.Join, "sanction "+text("mute")+" "+text("ann")+"   600000 "+text("be \"kind\"")+" "+text("note")+
		";sanction "+text("ban")+"  "+text("192.0.2.7")+" "+text("game-*")+" 0  ;pardon "+text("shadow")+" "+text("bob")+"  "+
		";remove "+text("77")+" "+text("lobby")+" "+text("off topic")+";close "+text("78")+" "+text("bye")+";retract "+text("lobby")+" "+text("m1")+
		";edit 0 "+text("lobby")+" "+text("m2")+" "+text("grüße")+";edit 1 "+text("q")+" "+text("m3")+" "+text(`[1]`)+";emit 0 "+text("lobby")+" "+text("hello")))
	if err != nil {
		return err
	}
	hello := "grüße"
	want := trial.Answer{Verdict: "deny", Reason: a.Reason,
		Sanctions: []trial.Sanction{{User: "ann", Kind: "mute", Rooms: "*", TTL: 600_000, Reason: "be \"kind\"", Note: "note"},
			{Address: "192.0.2.7/32", Kind: "ban", Rooms: "game-*"}},
		Pardons: []trial.Sanction{{User: "bob", Kind: "shadow", Rooms: "*"}},
		Removed: []trial.Removal{{Connection: "77", Room: "lobby", Reason: "off topic"}}, Closed: []trial.Removal{{Connection: "78", Reason: "bye"}},
		Retracted: []trial.Amendment{{Room: "lobby", ID: "m1"}},
		Edited:    []trial.Amendment{{Room: "lobby", ID: "m2", Message: &hello}, {Room: "q", ID: "m3", JSON: trial.JSON(`[1]`)}}}
	if !a.Same(&want) {
		return fmt.Errorf("the answer is %s, want %s", jsonOf(a), jsonOf(want))
	}
	return nil
}
