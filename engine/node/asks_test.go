package node

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/ask/web"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/host"
)

// TestAnAskIsItsService checks that an entry gets services by its settings: the same one for the same settings, and another one after each
// change, also of a secret. The definition shows no secret.
func TestAnAskIsItsService(t *testing.T) {
	var got http.Header
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, `{"score":1}`)
	}))
	defer service.Close()
	client := web.New(web.Limits{})
	defer client.Close()
	asked := func(token, more string) host.Ask {
		t.Helper()
		cfg, err := config.Parse("c", fmt.Appendf(nil, "modules: { m: { file: f } }\ntenants: { default: { chain: [{ module: m, asks: { score: { url: '%s', headers: { authorization: %s }%s } } }] } }",
			service.URL, token, more), nil)
		if err != nil {
			t.Fatal(err)
		}
		asks, err := asksOf(client, "default", "tenants.default.chain[0]", cfg.Tenants["default"].Chain[0])
		if err != nil || len(asks) != 1 {
			t.Fatalf("%+v, %v", asks, err)
		}
		return asks["score"]
	}
	first := asked("hunter2hunter2", "")
	if same := asked("hunter2hunter2", ""); same != first {
		t.Error("the same settings have another service")
	}
	if strings.Contains(first.Definition, "hunter2") || first.OnError != host.DenyOnError {
		t.Errorf("the ask is %+v", first)
	}
	for _, more := range []string{", cache: 1s", ", method: PUT", ", timeout: 2s", ", concurrency: 1", ", perSecond: 1"} {
		if other := asked("hunter2hunter2", more); other.Service == first.Service || other.Definition == first.Definition {
			t.Errorf("with %s the service is the same", more)
		}
	}
	if other := asked("hunter3hunter3", ""); other.Service == first.Service || other.Definition == first.Definition {
		t.Error("with another secret the service is the same")
	}
	if held := asked("a", ", onError: hold"); held.OnError != host.HoldOnError {
		t.Errorf("onError is %v", held.OnError)
	}
	if answer, err := first.Service.Ask(t.Context(), []byte("{}")); err != nil || string(answer.Body) != `{"score":1}` || got.Get("Authorization") != "hunter2hunter2" {
		t.Errorf("%+v, %v", answer, err)
	}
	client.Configure(web.Limits{}, nil)
	if all := (asks{client}).Usage(); len(all) != 0 {
		t.Errorf("forgotten asks are shown: %+v", all)
	}
}
