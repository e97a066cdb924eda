package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/host/report"
)

// TestFollowRequestsOnlyNewDecisions checks that each request has the cursor of the previous answer.
func TestFollowRequestsOnlyNewDecisions(t *testing.T) {
	var cursors []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cursors = append(cursors, r.URL.Query().Get("cursor"))
		n := len(cursors)
		fmt.Fprintf(w, `{"decisions":[{"node":"one","at":%d,"module":"second"},{"node":"one","at":%d,"module":"first"}],"cursor":"c%d"}`, 2*n, 2*n-1, n)
	}))
	defer server.Close()
	ask, err := client.New(server.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &decisionPrinter{out: &out, err: &out}
	for range 3 {
		if err := p.show(t.Context(), ask, report.DecisionFilter{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"", "c1", "c2"}; !slices.Equal(cursors, want) {
		t.Errorf("requests with the cursors %q, want %q", cursors, want)
	}
	if text := out.String(); strings.Count(text, "first") != 3 || strings.Index(text, "first") > strings.Index(text, "second") {
		t.Errorf("%s", text)
	}
}
