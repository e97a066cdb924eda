package scripts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
)

// classifier is a service that answers with a score, which ends with the number of the question.
type classifier struct{ asked []string }

func (c *classifier) Ask(_ context.Context, body []byte) (ask.Answer, error) {
	c.asked = append(c.asked, string(body))
	if len(body) == 0 {
		return ask.Answer{Status: 404}, nil
	}
	return ask.Answer{Status: 200, Body: json.RawMessage(fmt.Sprintf(`{"score":0.9%d,"of":["grüße"]}`, len(c.asked)))}, nil
}

// asking has a script in each language that asks a service at each hook. The fields of the answers are in the reasons of its verdicts.
var asking = map[string]string{
	"js": `
moot.declare({ reads: ["message", "room", "id", "params"], asks: ["score"] });
const told = ({ name, status, json, state, number }) => JSON.stringify([name, status, json ?? null, state ?? null, number]);
moot.on("connect", () => moot.ask("score"));
moot.on("join", (event) => moot.ask("score", { room: event.room }, { state: { n: [1, "ü"] } }));
moot.on("onSayReceive", (event) => moot.ask("score", { text: event.message }));
moot.on("say", () => moot.ask("score"));
moot.action("check", (event) => moot.ask("score", event.params));
moot.on("answer", (event, answer, connection) => {
  if (event.hook === "action") return moot.reply({ told: told(answer) });
  if (event.message === "again" && answer.number === 1) return moot.ask("score", [answer.json.score], { state: event.message });
  if (event.message === "hold") return moot.hold(told(answer));
  return moot.deny(event.hook + " " + connection.id + " " + told(answer));
});`,
	"lua": `
moot.declare({ reads = { "message", "room", "id", "params" }, asks = { "score" } })
local function told(a)
  local json = a.json and '{"score":' .. string.format("%.2f", a.json.score) .. ',"of":["' .. a.json.of[1] .. '"]}' or "null"
  local state = a.state and (type(a.state) == "string" and '"' .. a.state .. '"' or '{"n":[' .. a.state.n[1] .. ',"' .. a.state.n[2] .. '"]}') or "null"
  return '["' .. a.name .. '",' .. a.status .. "," .. json .. "," .. state .. "," .. a.number .. "]"
end
moot.on("connect", function() return moot.ask("score") end)
moot.on("join", function(event) return moot.ask("score", { room = event.room }, { state = { n = { 1, "ü" } } }) end)
moot.on("onSayReceive", function(event) return moot.ask("score", { text = event.message }) end)
moot.on("say", function() return moot.ask("score") end)
moot.action("check", function(event) return moot.ask("score", event.params) end)
moot.on("answer", function(event, answer, connection)
  if event.hook == "action" then return moot.reply({ told = told(answer) }) end
  if event.message == "again" and answer.number == 1 then return moot.ask("score", { answer.json.score }, { state = event.message }) end
  if event.message == "hold" then return moot.hold(told(answer)) end
  return moot.deny(event.hook .. " " .. connection.id .. " " .. told(answer))
end)`,
}

func TestScriptsAskServices(t *testing.T) {
	for language, text := range asking {
		t.Run(language, func(t *testing.T) {
			service := new(classifier)
			w := open(t, rule{file: "ask." + language, text: text, entry: host.Entry{Asks: map[string]host.Ask{"score": {Service: service}}}})
			said := func(message string) *hook.Event {
				return &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "r", Conn: ann(), Message: wire.Message{Text: message}}
			}
			for _, c := range []struct {
				ev      *hook.Event
				outcome hook.Outcome
				reason  string
				asked   string
			}{
				{&hook.Event{Hook: hook.Connect, Tenant: "t", Conn: ann()}, hook.Denied, `connect c1 ["score",404,null,null,1]`, ""},
				{&hook.Event{Hook: hook.Join, Tenant: "t", Room: "r", Conn: ann()}, hook.Denied, `join c1 ["score",200,{"score":0.91,"of":["grüße"]},{"n":[1,"ü"]},1]`, `{"room":"r"}`},
				{said("hi"), hook.Denied, `onSayReceive c1 ["score",200,{"score":0.91,"of":["grüße"]},null,1]`, `{"text":"hi"}`},
				{said("hold"), hook.Held, `["score",200,{"score":0.91,"of":["grüße"]},null,1]`, `{"text":"hold"}`},
				{said("again"), hook.Denied, `onSayReceive c1 ["score",200,{"score":0.92,"of":["grüße"]},"again",2]`, `{"text":"again"} [0.91]`},
			} {
				service.asked = nil
				v := w.Decide(context.Background(), c.ev)
				// Lua encodes numbers with all their digits.
				if asked := strings.ReplaceAll(strings.Join(service.asked, " "), "0.91000000000000003", "0.91"); v.Outcome != c.outcome || v.Reason != c.reason || asked != c.asked {
					t.Errorf("%v: %v %q after the questions %q\n%s", c.ev.Hook, v.Outcome, v.Reason, asked, w.log)
				}
			}
			service.asked = nil
			v := w.Decide(context.Background(), &hook.Event{Hook: hook.Action, Tenant: "t", Conn: ann(), Action: "check", Params: json.RawMessage(`{"a":1}`)})
			if want := `{"told":"[\"score\",200,{\"score\":0.91,\"of\":[\"grüße\"]},null,1]"}`; string(v.Reply) != want || service.asked[0] != `{"a":1}` {
				t.Errorf("action: %s after %q", v.Reply, service.asked)
			}
			w.Deliver(context.Background(), &hook.Event{Hook: hook.Say, Tenant: "t", Room: "r", Message: wire.Message{Text: "hi"}}, []hook.Member{listener{ann()}})
			if !w.log.has("moot.ask is for connect, join, onSayReceive and actions") {
				t.Errorf("at say, the log has %s", w.log)
			}
		})
	}
}

// listener is a receiver of a say.
type listener struct{ profile *hook.Profile }

func (l listener) Profile() *hook.Profile { return l.profile }
func (l listener) JoinedAt() int64        { return time.Now().UnixMilli() }

// TestAsksAndAnswersBelongTogether checks that scripts with asks but no handler for answers, or the reverse, are refused.
func TestAsksAndAnswersBelongTogether(t *testing.T) {
	for file, text := range map[string]string{
		"a.js":  `moot.declare({ asks: ["score"] }); moot.on("join", () => moot.allow());`,
		"b.js":  `moot.on("join", () => moot.allow()); moot.on("answer", () => moot.allow());`,
		"a.lua": `moot.declare({ asks = { "score" } }) moot.on("join", function() end)`,
		"b.lua": `moot.on("join", function() end) moot.on("answer", function() end)`,
	} {
		err := refused(t, rule{file: file, text: text, entry: host.Entry{Asks: map[string]host.Ask{"score": {}}}})
		if !strings.Contains(err, `moot.on("answer", handler) belong together`) {
			t.Errorf("%s: %s", file, err)
		}
	}
}
