package auth_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/mootchat/moot/engine/auth"
)

// TestRestrictedKeySetsReachPermittedNetworksOnly checks that an included file cannot
// make the node connect to an internal server, unless the operator permits its network.
func TestRestrictedKeySetsReachPermittedNetworksOnly(t *testing.T) {
	var met atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		met.Add(1)
		_, _ = io.WriteString(w, setOf(jwk("rsa", "1")))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	defer s.Close()
	for _, test := range []struct {
		from     auth.Source
		networks []netip.Prefix
		taken    bool
	}{
		{auth.Source{Address: s.URL, Restricted: true}, nil, false},
		{auth.Source{Address: s.URL, Restricted: true}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true},
		{auth.Source{Address: s.URL}, nil, true},
	} {
		before := met.Load()
		sets := auth.NewKeySets(nil, nil)
		sets.Permit(test.networks)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = sets.Run(ctx) })
		_, err := newTokens(t, auth.Config{KeySet: sets.At(test.from)}).Check(ctx, sign(t, jose.RS256, pairs()["rsa"], header{"kid": "1"}, claims{"sub": "ann"}))
		if (err == nil) != test.taken || (met.Load() > before) != test.taken {
			t.Errorf("%+v, permitted %v: %v, %d requests", test.from, test.networks, err, met.Load()-before)
		}
		cancel()
		running.Wait()
	}
}

func TestKeySetFilesStayInTheirDirectory(t *testing.T) {
	sets := auth.NewKeySets(nil, nil)
	for _, path := range []string{"/etc/hostname", "/tmp/../etc/hostname"} {
		if err := sets.CheckFile(t.Context(), auth.Source{Address: path, Within: t.TempDir()}); err == nil || err.Error() == "the content is not a JSON Web Key Set" {
			t.Errorf("%s: %v", path, err)
		}
	}
}
