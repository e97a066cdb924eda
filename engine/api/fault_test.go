package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
)

// trialsFunc implements api.Trials.
type trialsFunc func() (api.Tried, error)

func (f trialsFunc) Try(context.Context, string, string, api.Trial) (api.Tried, error) { return f() }

// TestARefusalThatMayPassSaysWhen checks that a refusal by an open breaker has status 503 and Retry-After.
func TestARefusalThatMayPassSaysWhen(t *testing.T) {
	n := alone(t, func(c *api.Config) {
		c.Trials = trialsFunc(func() (api.Tried, error) { return api.Tried{}, &engine.RetryError{Wait: 1500 * time.Millisecond} })
	})
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9090/api/tenants/default/modules/m/trials", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.api.Handler().ServeHTTP(w, r)
	if got := w.Body.String(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || code(got) != api.CodeTryAgain || !strings.Contains(got, "try again") {
		t.Errorf("%d, after %q: %s", w.Code, w.Header().Get("Retry-After"), got)
	}
}
