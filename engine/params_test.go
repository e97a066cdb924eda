package engine_test

import (
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
)

// The tests in this file check the sticky parameters of the socket transport.

func socketOK(id, data string) string {
	if data != "" {
		data = `,"data":` + data
	}
	return `{"status":"OK","context":"response"` + data + `,"messageId":` + id + `}`
}

func TestParamsStick(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.mw.Declared = map[string]hook.ActionSpec{"login": {Inputs: map[string]hook.InputSpec{"token": {}}}}
		a := n.socket()
		a.do("paramAdd messageId=1")
		id := `"1"`
		a.says("paramAdd token=secret=more", socketOK(id, ""))
		a.says("paramAdd apiVersion 2", socketOK(id, ""))
		a.says("paramAdd unknown=x", socketOK(id, "")) // no action takes this name
		a.says("paramView token", socketOK(id, `"secret"`))
		a.says("paramView unknown", socketOK(id, ""))
		a.says("paramsView", socketOK(id, `{"apiVersion":"2","messageId":"1","token":"secret"}`))
		a.says("paramDelete token", socketOK(id, ""))
		a.says("paramsView", socketOK(id, `{"apiVersion":"2","messageId":"1"}`))
		<-a.Begin("paramsDelete")
		a.hears(socketOK(id, ""))
		a.says(`{"event":"paramsView","messageId":5}`, socketOK("5", "{}"))
	})
}

func TestParamAddOfMessageIDIsAnsweredWithTheOneBefore(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("n").socket()
		a.do("paramAdd messageId=first")
		a.says("paramAdd messageId=second", socketOK(`"first"`, ""))
		a.says("paramView messageId", socketOK(`"second"`, `"second"`))
	})
}

func TestParamsAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("n").socket()
		a.do("paramAdd messageId=1", "paramAdd file="+strings.Repeat("x", 60<<10))
		a.says("paramAdd action="+strings.Repeat("x", 5<<10), `{"error":"too many parameters (at most 65536 bytes)","context":"response","messageId":"1"}`)
	})
}

func TestJSONLineReplacesTheParams(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.mw.Declared = map[string]hook.ActionSpec{"login": {Inputs: map[string]hook.InputSpec{"token": {Required: true}}}}
		var params []string
		n.on(hook.Action, func(ev *hook.Event) hook.Verdict {
			params = append(params, ev.Action+string(ev.Params))
			return hook.Verdict{Reply: []byte(`{"authorized":true}`)}
		})
		a := n.socket()
		a.do("paramAdd apiVersion=1")
		a.says(`{"action":"login","params":{"token":"t","messageId":"m"}}`, `{"authorized":true,"context":"response","messageId":"m"}`)
		a.says("paramsView", socketOK(`"m"`, `{"action":"login","messageId":"m","token":"t"}`))
		a.says("login", `{"authorized":true,"context":"response","messageId":"m"}`) // with the sticky parameters
		a.says(`{"params":{"messageId":9}}`, `{"error":"unknown action or invalid apiVersion","context":"response","messageId":9}`)
		want := []string{`login{"action":"login","messageId":"m","token":"t"}`, `login{"action":"login","messageId":"m","token":"t"}`}
		if strings.Join(params, "\n") != strings.Join(want, "\n") {
			w.Errorf("the module was given %q, want %q", params, want)
		}
	})
}
