package fetch_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mootchat/moot/engine/fetch"
)

// inside starts a server in an internal network that is not permitted, and counts its
// connections.
func inside(t *testing.T) (address string, met *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	met = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			met.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), met
}

// guest is a policy that permits 127.0.0.1 only.
var guest = fetch.Policy{Restricted: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}

func TestRestrictedFetchesReachPermittedNetworksOnly(t *testing.T) {
	content := []byte("a rule")
	s, config, asked := elsewhere(t, serving(content))
	f := fetch.New(config)
	fails(t, "127.0.0.1 has the address 127.0.0.1, which is not public", "limits.privateNetworks")(f.WithPolicy(fetch.Policy{Restricted: true}).URL(t.Context(), s.URL, sum(content)))
	fails(t, "127.0.0.1, which is not public")(f.WithPolicy(fetch.Policy{Restricted: true}).OCI(t.Context(), strings.TrimPrefix(s.URL, "https://")+"/rules/calm:1", ""))
	if asked.Load() != 0 {
		t.Error("it was asked")
	}
	gives(t, content)(f.WithPolicy(guest).URL(t.Context(), s.URL, sum(content)))
}

func TestRedirectsDoNotReachInternalNetworks(t *testing.T) {
	to, met := inside(t)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s, config, _ := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/token/") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+to+`/token",service="shelf"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "https://"+to+"/rule", http.StatusTemporaryRedirect)
	}))
	f, host := fetch.New(config).WithPolicy(guest), strings.TrimPrefix(s.URL, "https://")
	fails(t, "127.0.0.2, which is not public")(f.URL(t.Context(), s.URL, sum(nil)))
	fails(t, "127.0.0.2, which is not public")(f.OCI(t.Context(), host+"/rules/calm:1", ""))
	fails(t, "127.0.0.2")(f.OCI(t.Context(), host+"/token/calm:1", ""))
	if met.Load() != 0 {
		t.Errorf("%d connections", met.Load())
	}
}

func TestRestrictedFetchesUseNoPasswords(t *testing.T) {
	r := newShelf(t)
	plain := r.client.Transport
	r.client.Transport = withPassword{plain}
	r.push(t, "private/calm", "1", [2]string{wasm, "a rule"})
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host, base64.StdEncoding.EncodeToString([]byte("ann:pass")))
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetch.New(r.config)
	fails(t, "fetches of included files use no passwords; define the module in the main file")(f.WithPolicy(guest).OCI(t.Context(), r.host+"/private/calm:1", ""))
	gives(t, []byte("a rule"))(f.OCI(t.Context(), r.host+"/private/calm:1", ""))
}
