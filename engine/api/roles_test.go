package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
)

var roles = []api.Role{"viewer", "moderator", "author", "operator"}

// withRoles adds a key NAME-key-of-acme of each role, for the tenants acme and bolt, and NAME-key-of-all.
func withRoles(c *api.Config) {
	for _, role := range roles {
		c.Keys = append(c.Keys,
			api.Key{Name: string(role), Text: string(role) + "-key-of-acme", Role: role, Tenants: []string{"bolt", "acme"}},
			api.Key{Name: string(role) + "-all", Text: string(role) + "-key-of-all", Role: role})
	}
}

// document is the part of the OpenAPI document that has roles.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Description string
		Role        api.Role `json:"x-role"`
	}
}

// TestRolesLimitOperations calls each operation with a key of each role. Those below the role of the document are refused
// with both roles; the others are not.
func TestRolesLimitOperations(t *testing.T) {
	n := alone(t, newProgram().use, withRoles)
	_, text := n.request("GET", "/api/openapi.json", "")
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{tenant}", "acme", "{room}", "none", "{connection}", "none", "{module}", "none", "{key}", "none", "{sanction}", "none", "{held}", "none", "{report}", "none", "{user}", "none")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused, allowed := 0, 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			if !strings.Contains(op.Description, "Needs the role "+string(op.Role)+".") {
				t.Errorf("%s: the description is %q", op.OperationID, op.Description)
			}
			needed := false
			for _, role := range roles {
				needed = needed || role == op.Role
				status, answer := n.request(strings.ToUpper(method), fill.Replace(path), "", withKey(string(role)+"-key-of-all"), func(r *http.Request) {
					if op.OperationID == "record" { // lasts until the request ends
						*r = *r.WithContext(gone)
					}
				})
				want := fmt.Sprintf("this key has the role %s; %s needs %s", role, op.OperationID, op.Role)
				switch {
				case needed && status == http.StatusForbidden, !needed && (status != http.StatusForbidden || code(answer) != api.CodeForbidden || !strings.Contains(answer, want)):
					t.Errorf("%s with the role %s, which needs %s: %d %s", op.OperationID, role, op.Role, status, answer)
				case needed:
					allowed++
				default:
					refused++
				}
			}
		}
	}
	if refused < 20 || allowed < 60 {
		t.Errorf("%d calls were refused, and %d were not", refused, allowed)
	}
}

// TestAKeyReachesItsTenants checks a key of two tenants, of which the server has one.
func TestAKeyReachesItsTenants(t *testing.T) {
	n := alone(t, withRoles)
	for path, want := range map[string]string{
		"/api/tenants/acme/rooms":    `200 {"rooms":[{"name":"den"}]}`,
		"/api/tenants/bolt/rooms":    `404 {"error":{"code":"no_tenant"`,
		"/api/tenants/default/rooms": `403 {"error":{"code":"forbidden","message":"this key reaches only /api/tenants/NAME of acme, bolt"}}`,
		"/api/tenants/none/rooms":    `403 {"error":{"code":"forbidden","message":"this key reaches only /api/tenants/NAME of acme, bolt"}}`,
		"/api/nodes":                 `403 {"error":{"code":"forbidden"`,
		"/api/tenants?limit=1":       `200 {"tenants":[{"name":"acme"`,
		"/api/tenants?cursor=acme":   `200 {"tenants":[]}`,
		"/api/key":                   `200 {"name":"viewer","role":"viewer","tenants":["acme","bolt"]}`,
	} {
		status, answer := n.request("GET", path, "", withKey("viewer-key-of-acme"))
		if got := fmt.Sprint(status, " ", answer); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if status, answer := n.request("GET", "/api/key", ""); status != 200 || strings.TrimSpace(answer) != `{"name":"admin","role":"operator"}` {
		t.Errorf("%d %s", status, answer)
	}
}

// TestWritesNameTheKeyInTheLog checks that each write is logged with the name of its key, its role and the result, also if it
// was refused, and that a sanction has the name.
func TestWritesNameTheKeyInTheLog(t *testing.T) {
	var log bytes.Buffer
	n := alone(t, withRoles, func(c *api.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	const body = `{"user":"bob","kind":"mute"}`
	n.request("POST", "/api/tenants/acme/sanctions", body, withKey("moderator-key-of-acme"))
	n.request("POST", "/api/tenants/acme/sanctions", body, withKey("viewer-key-of-all"))
	n.request("GET", "/api/tenants/acme/sanctions", "", withKey("author-key-of-acme"))
	for _, want := range []string{
		`msg="server API" by=moderator role=moderator method=POST path=/api/tenants/acme/sanctions status=200`,
		`msg="server API" by=viewer-all role=viewer method=POST path=/api/tenants/acme/sanctions status=403`,
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has not once %q:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "by=author") {
		t.Errorf("a read is logged:\n%s", &log)
	}
	if _, answer := n.request("GET", "/api/tenants/acme/sanctions", ""); strings.Count(answer, `"by":"moderator"`) != 1 {
		t.Errorf("the sanction is %s", answer)
	}
}

// TestKeysAreReplaced checks that SetKeys makes a new key valid and a removed one invalid at once, and ends the recordings of
// the removed one.
func TestKeysAreReplaced(t *testing.T) {
	n := alone(t, newProgram().use, withRoles)
	web := httptest.NewServer(n.api.Handler())
	defer web.Close()
	defer web.Client().CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", web.URL+"/api/tenants/acme/record", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer author-key-of-acme")
	recording, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer recording.Body.Close()
	n.api.SetKeys([]api.Key{{Name: "new", Text: "a-new-key-of-acme", Role: "viewer", Tenants: []string{"acme"}}})
	if _, err := new(bytes.Buffer).ReadFrom(recording.Body); err != nil { // reads until the recording ends
		t.Error(err)
	}
	for key, want := range map[string]int{"author-key-of-acme": 401, adminKey: 401, "a-new-key-of-acme": 200} {
		if status, answer := n.request("GET", "/api/tenants/acme", "", withKey(key)); status != want {
			t.Errorf("%s: %d %s", key, status, answer)
		}
	}
}
