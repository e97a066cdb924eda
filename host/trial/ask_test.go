package trial_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/trial"
)

// asker returns a module that asks "score" with a body, and returns the digit in the answer as the number of its verdict.
func asker(body string) []byte {
	m := new(asm.Module)
	m.Memory(24, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Custom(abi.ManifestSection, []byte(`{"asks": ["score"], "reads": ["message"]}`))
	m.Data(8, []byte("score"))
	m.Data(16, []byte(body))
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	put := func(slot, n int) asm.Code { return asm.I32(exchange) + asm.I32(n) + asm.Store32(slot) }
	ask := m.Func("on_say_receive", "i32 -> i32", put(abi.ResultAsk, 8)+put(abi.ResultAsk+4, 5)+
		put(abi.ResultAskBody, 16)+put(abi.ResultAskBody+4, len(body))+asm.I32(abi.Ask))
	blob := asm.I32(exchange) + asm.Load32(abi.FrameAnswer) + asm.I32(exchange) + asm.Add
	m.Func(abi.ExportAnswer, "i32 -> i32", asm.I32(0)+asm.Call(ask)+asm.Drop+
		blob+blob+asm.Load32(abi.BlobTable+8*int(abi.AnswerBody))+asm.Add+asm.Load32(0)+asm.I32(255)+asm.And+asm.I32('0')+asm.Sub)
	return m.Wasm()
}

func TestAnEventHasTheAnswersOfServices(t *testing.T) {
	m := load(t, trial.Config{Wasm: asker(`{"n": 1}`)})
	text := "hello"
	for _, c := range []struct {
		answers map[string]trial.Reply
		verdict string
		kind    string
		asked   []trial.Asked
		calls   int
	}{
		{map[string]trial.Reply{"score": {JSON: trial.JSON("1")}}, "deny", "", []trial.Asked{{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Status: 200, JSON: trial.JSON("1")}}}, 2},
		{map[string]trial.Reply{"score": {Error: "timeout"}}, "failed", "ask", []trial.Asked{{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Error: "timeout"}}}, 1},
		{map[string]trial.Reply{"score": {Busy: 1500}}, "failed", "ask", []trial.Asked{{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Busy: 1500}}}, 1},
		{nil, "failed", "ask", []trial.Asked{{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Error: "unreachable"}}}, 1},
	} {
		a, cost, err := m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Room: "r", Message: &text, Answers: c.answers})
		if err != nil || a.Verdict != c.verdict || a.Kind != c.kind || !reflect.DeepEqual(a.Asks, c.asked) || cost.Calls != c.calls {
			t.Errorf("%v: %+v after %d calls, %v", c.answers, a, cost.Calls, err)
		}
	}
}

// TestAReplayHasTheRecordedAnswers replays an event with two questions, with the same module and with one that sends another body.
func TestAReplayHasTheRecordedAnswers(t *testing.T) {
	m := load(t, trial.Config{Wasm: asker(`{"n": 1}`), Fresh: true})
	text := "hello"
	e := &trial.Event{Hook: "onSayReceive", Room: "r", Message: &text, SentAt: 5}
	recorded := []trial.Asked{
		{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Status: 200, JSON: trial.JSON("7")}},
		{Ask: "score", Body: trial.JSON(`{"n":1}`), Reply: trial.Reply{Status: 201, JSON: trial.JSON("5")}},
	}
	line, err := json.Marshal(recorded)
	if err != nil {
		t.Fatal(err)
	}
	var read []trial.Asked
	if err := json.Unmarshal(line, &read); err != nil || !reflect.DeepEqual(read, recorded) {
		t.Fatalf("%s is read as %+v: %v", line, read, err)
	}
	for range 2 {
		a, missing, err := m.Replay(t.Context(), e, nil, read)
		if err != nil || a.Verdict != "drop" || !reflect.DeepEqual(a.Asks, recorded) || len(missing) != 0 {
			t.Errorf("%+v, missing %v, %v", a, missing, err)
		}
	}
	other := load(t, trial.Config{Wasm: asker(`{"n": 2}`), Fresh: true})
	a, missing, err := other.Replay(t.Context(), e, nil, read)
	if err != nil || a.Verdict != "drop" || string(a.Asks[0].Body) != `{"n":2}` || len(missing) != 0 {
		t.Errorf("%+v, missing %v, %v", a, missing, err)
	}
	a, missing, err = m.Replay(t.Context(), e, nil, read[:1])
	if err != nil || a.Verdict != "failed" || !slices.Equal(missing, []string{"ask score"}) {
		t.Errorf("%+v, missing %v, %v", a, missing, err)
	}
}
