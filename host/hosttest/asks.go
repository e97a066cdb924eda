package hosttest

import (
	"fmt"
	"strings"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// asks makes the guest ask services and decide by their answers.
func (c *conformance) asks() {
	body, null := trial.JSON(`{"text":"grüße"}`), trial.JSON(`null`)
	one, two := trial.Reply{JSON: trial.JSON(`{"score":0.9}`)}, trial.Reply{Status: 404}
	ask := func(name, body, state string) string {
		return "ask " + text(name) + " " + text(body) + " " + text(state)
	}
	question := ask("one", string(body), "a state")
	asked := []trial.Asked{{Ask: "one", Body: body, Reply: trial.Reply{Status: 200, JSON: one.JSON}}}
	for _, v := range []struct {
		name, script string
		hook         abi.Hook
		want         trial.Answer
	}{
		{"the answer decides", question + ";answered 1;hold 0 " + text("toxic?"), abi.OnSayReceive, trial.Answer{Verdict: "hold", Reason: "toxic?", Asks: asked}},
		{"at connect", question + ";answered 1;deny 7 " + text("no"), abi.Connect, trial.Answer{Verdict: "deny", Reason: "no", Code: 7, Asks: asked}},
		{"at join", question + ";answered 1;end", abi.Join, trial.Answer{Verdict: "allowEnd", Asks: asked}},
		{"at an action", question + ";answered 1;reply " + text(`{"ok":true}`), abi.Action, trial.Answer{Verdict: "allow", Reply: trial.JSON(`{"ok":true}`), Asks: asked}},
		{"twice", question + ";answered 1;" + ask("two", "null", "") + ";answered 2;drop", abi.OnSayReceive,
			trial.Answer{Verdict: "drop", Asks: append(asked[:1:1], trial.Asked{Ask: "two", Body: null, Reply: two})}},
		{"on_answer has effects", question + ";answered 1;setprop " + text("mood") + " " + text("1"), abi.Action,
			trial.Answer{Verdict: "allow", Reply: trial.JSON(`{"said":"setprop=0"}`), Properties: map[string]trial.JSON{"mood": trial.JSON("1")}, Asks: asked}},
	} {
		e := event(v.hook, v.script)
		e.Answers = map[string]trial.Reply{"one": one, "two": two}
		got, err := c.call(e)
		if err == nil && !got.Same(&v.want) {
			err = fmt.Errorf("it answers %s, want %s", jsonOf(got), jsonOf(v.want))
		}
		c.report.check("ask", v.name, err)
	}
	c.report.check("ask", "on_answer sees the event and the answer", c.tells(question))
	for name, script := range map[string]string{
		"a name that is not declared": ask("three", "", ""),
		"a body that is not JSON":     ask("one", "{", ""),
		"a body that is too long":     ask("one", `"`+strings.Repeat("b", abi.MaxAskBody)+`"`, ""),
		"a state that is too long":    ask("one", "", strings.Repeat("s", abi.MaxState+1)),
		"a third ask":                 question + ";answered 1;" + question + ";answered 2;" + question,
	} {
		c.report.check("ask", name+" is a failure", c.fails(event(abi.OnSayReceive, script)))
	}
	for _, hook := range []abi.Hook{abi.Say, abi.Leave, abi.Disconnect} {
		c.report.check("ask", "at "+hook.String()+" is a failure", c.fails(event(hook, question)))
	}
}

// tells checks the report of the guest in on_answer.
func (c *conformance) tells(question string) error {
	e := event(abi.OnSayReceive, question+";answered 1;tell")
	e.Answers = map[string]trial.Reply{"one": {Status: 201, JSON: trial.JSON(`{"score":0.9}`)}}
	a, err := c.call(e)
	if err != nil {
		return err
	}
	got, err := reportIn(abi.OnSayReceive, &a)
	if err != nil {
		return err
	}
	return compareLines(got, append(eventLines(abi.OnSayReceive, e), "a.name=one", "a.status=201", "a.number=1", `a.json={"score":0.9}`, "a.state=a state"))
}

func (c *conformance) fails(e *trial.Event) error {
	e.Answers = map[string]trial.Reply{"one": {}}
	a, err := c.call(e)
	if err == nil && a.Verdict != "failed" {
		err = fmt.Errorf("it answers %s", jsonOf(a))
	}
	return err
}
