package node

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// endless returns a module that uses all its time for each message.
func endless() []byte {
	const exchange = 1 << 16
	m := new(asm.Module)
	m.Memory(2, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	m.Func("on_say_receive", "i32 -> i32", asm.Loop(asm.Br(0))+asm.I32(0))
	return m.Wasm()
}

// street is a server with two tenants: acme, which attacks, and bolt. Each tenant has its own TCP listener, host, path,
// tokens and key.
type street struct {
	*testing.T
	*nodetest.Server
	dir   string
	ports map[string]string // ports of TCP clients, by tenant
}

const streetKey = "a key of the tenant "

func newStreet(t *testing.T, acme, bolt string) *street {
	t.Helper()
	s := &street{T: t, dir: t.TempDir(), ports: map[string]string{}}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(s.dir, "cache"))
	nodetest.Write(t, filepath.Join(s.dir, "endless.wasm"), string(endless()))
	listeners := map[string]net.Listener{}
	for _, tenant := range []string{"acme", "bolt"} { // two different free ports
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[tenant], s.ports[tenant] = l, l.Addr().String()
	}
	for _, l := range listeners {
		l.Close()
	}
	s.configure(acme, bolt)
	s.Server = inProcess(t, s.file())
	return s
}

func (s *street) file() string { return filepath.Join(s.dir, "moot.yaml") }

func (s *street) configure(acme, bolt string) {
	s.Helper()
	nodetest.Write(s.T, s.file(), fmt.Sprintf(`
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0", more: [{ listen: %q, tenant: acme }, { listen: %q, tenant: bolt }] }
admin: { listen: "127.0.0.1:0", key: %q, tenantKeys: { acme: %q, bolt: %q } }
drain: 0s
limits: { connections: 40, verbsPerSecond: 100000 }
modules: { endless: { file: endless.wasm } }
tenants:
  default: {}
  acme: { match: { host: [acme.example], path: [/acme] }, rooms: { starting: [hall], clientsMayCreate: true }, %s }
  bolt: { match: { host: [bolt.example], path: [/bolt] }, rooms: { starting: [hall], clientsMayCreate: true }, %s }
`, s.ports["acme"], s.ports["bolt"], adminKey, streetKey+"acme", streetKey+"bolt", acme, bolt))
}

// enter connects a client to the listener of the tenant.
func (s *street) enter(tenant string) *nodetest.Client {
	s.Helper()
	c, err := nodetest.Dial(s.ports[tenant])
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Conn.Close() })
	return c
}

// hears reads lines until one matches.
func (s *street) hears(c *nodetest.Client, pattern string) {
	s.Helper()
	if err := c.Hear(regexp.MustCompile(pattern)); err != nil {
		s.Fatal(err)
	}
}

func (s *street) says(c *nodetest.Client, line, answer string) {
	s.Helper()
	fmt.Fprintln(c.Conn, line)
	s.hears(c, answer)
}

// dial connects by WebSocket and returns the first message, or the reason of the close.
func (s *street) dial(host, path, token string) string {
	s.Helper()
	o := &websocket.DialOptions{Host: host, HTTPHeader: http.Header{}}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithTimeout(s.Context(), nodetest.Deadline)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+s.HTTP+path, o)
	if err != nil {
		return err.Error()
	}
	defer c.CloseNow()
	_, text, err := c.Read(ctx)
	if string(text) == `"primus::server::close"` { // the next message is the reason
		_, text, err = c.Read(ctx)
	}
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *street) token(tenant, user string) string {
	s.Helper()
	cfg, err := ReadConfig(s.Context(), Config{File: s.file()})
	if err != nil {
		s.Fatal(err)
	}
	signer, err := auth.SecretSigner([]byte(cfg.Tenants[tenant].Auth.JWT.Secret.Reveal()))
	if err != nil {
		s.Fatal(err)
	}
	token, err := signer.Sign(auth.Draft{User: user, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		s.Fatal(err)
	}
	return token
}

func secretly(secret string) string {
	return fmt.Sprintf("auth: { jwt: { secret: %q, required: true } }", secret)
}

const (
	secretA  = "the secret of acme, which is long enough"
	secretB  = "the secret of bolt, which is long enough"
	welcomed = `"welcome"`
)

// TestTokensOfOneTenantAreRefusedAtAnother checks that tokens of a tenant are accepted only by
// that tenant, on every listener and path.
func TestTokensOfOneTenantAreRefusedAtAnother(t *testing.T) {
	s := newStreet(t, secretly(secretA), secretly(secretB))
	tokens := map[string]string{"acme": s.token("acme", "ann"), "bolt": s.token("bolt", "bob")}
	for tenant, other := range map[string]string{"acme": "bolt", "bolt": "acme"} {
		for _, way := range [][2]string{{tenant + ".example", "/ws"}, {tenant + ".example:80", "/primus"}, {"", "/" + tenant + "/ws"}, {other + ".example", "/" + tenant + "/ws"}} {
			if got := s.dial(way[0], way[1], tokens[tenant]); !strings.Contains(got, welcomed) {
				t.Errorf("%s of %v receives %s", tenant, way, got)
			}
			if got := s.dial(way[0], way[1], tokens[other]); !strings.Contains(got, "3502") || !strings.Contains(got, "token has an invalid signature") {
				t.Errorf("with the token of %s, %v receives %s", other, way, got)
			}
			if got := s.dial(way[0], way[1], ""); !strings.Contains(got, "token missing") {
				t.Errorf("without a token %v receives %s", way, got)
			}
		}
		c := s.enter(tenant)
		s.says(c, "auth "+tokens[tenant], welcomed)
		s.says(c, "auth "+tokens[other], `"error":"token has an invalid signature"`)
		c = s.enter(tenant)
		s.says(c, "auth "+tokens[other], `"Bye".*"reason":"token has an invalid signature"`)
	}
	if got := s.dial("", "/ws", ""); !strings.Contains(got, welcomed) {
		t.Errorf("a client that matches no tenant gets %s, want default", got)
	}
}

// TestAReloadBringsNewSecrets checks that a reloaded secret is in use at once, even if its digest
// has the same first bits as the earlier digest.
func TestAReloadBringsNewSecrets(t *testing.T) {
	s := newStreet(t, secretly(secretA), secretly(secretB))
	old := s.token("acme", "ann")
	var alike string
	for n := 0; ; n++ {
		alike = fmt.Sprintf("%s %d", secretA, n)
		if a, b := sha256.Sum256([]byte(alike)), sha256.Sum256([]byte(secretA)); a[0] == b[0] && a[1] == b[1] {
			break
		}
	}
	s.configure(secretly(alike), secretly(secretB))
	ask, err := client.New("http://"+s.Admin, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	if results, err := ask.Reload(t.Context(), false); err != nil || len(results) != 1 || !results[0].OK {
		t.Fatalf("%+v, %v", results, err)
	}
	if got := s.dial("acme.example", "/ws", old); !strings.Contains(got, "token has an invalid signature") {
		t.Errorf("the old token receives %s", got)
	}
	if got := s.dial("acme.example", "/ws", s.token("acme", "ann")); !strings.Contains(got, welcomed) {
		t.Errorf("the new token receives %s", got)
	}
}

// TestOneTenantSeesAndReachesNothingOfAnother checks that rooms, connections and answers of
// the API belong to one tenant each.
func TestOneTenantSeesAndReachesNothingOfAnother(t *testing.T) {
	s := newStreet(t, "limits: { rooms: 3 }", "")
	spy, ann, bob := s.enter("acme"), s.enter("bolt"), s.enter("bolt")
	s.says(spy, "roomAdd hall", `"data":true`)
	s.says(ann, "roomAdd hall", `"data":true`)
	s.says(bob, "roomAdd hall", `"data":true`)
	s.says(ann, "say hall for bolt alone", `"message":"for bolt alone"`)
	s.hears(bob, `"message":"for bolt alone"`)
	s.says(spy, "roomView hall", `"membersCount":1\b`)
	s.says(bob, "roomView hall", `"membersCount":2\b`)
	s.says(spy, "say hall for acme alone", `"message":"for (acme|bolt) alone"`) // the first message that spy receives
	fmt.Fprintln(spy.Conn, "say hall the end")
	for spy.Lines.Scan() && !strings.Contains(spy.Lines.Text(), "the end") {
		if strings.Contains(spy.Lines.Text(), "bolt") {
			t.Errorf("acme receives %s", spy.Lines.Text())
		}
	}

	var list struct{ Connections []struct{ ID string } }
	theirs, err := client.New("http://"+s.Admin, streetKey+"bolt")
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Do(t.Context(), http.MethodGet, "/api/tenants/bolt/connections", nil, &list); err != nil || len(list.Connections) != 2 {
		t.Fatalf("bolt has %+v, %v", list, err)
	}
	id := list.Connections[0].ID
	spying, err := client.New("http://"+s.Admin, streetKey+"acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"/rooms", "/rooms/hall", "/rooms/hall/members", "/connections", "/connections/" + id, "/modules", "/decisions", "/modules/endless/kv", ""} {
		if err := spying.Do(t.Context(), http.MethodGet, "/api/tenants/bolt"+at, nil, nil); client.Code(err) != "forbidden" {
			t.Errorf("acme's key at %q: %v", at, err)
		}
	}
	if err := spying.Do(t.Context(), http.MethodGet, "/api/tenants/acme/connections/"+id, nil, nil); client.Code(err) == "" {
		t.Error("acme's key reaches a connection of bolt's by its id")
	}
	if err := spying.Do(t.Context(), http.MethodGet, "/api/nodes", nil, nil); client.Code(err) != "forbidden" {
		t.Errorf("acme's key sees the nodes: %v", err)
	}

	// Rooms: acme can create rooms up to its limit, and bolt any number.
	create := func(c *nodetest.Client, room, answer string) {
		t.Helper()
		s.says(c, fmt.Sprintf(`{"action":"createChatRoom","params":{"name":%q}}`, room), answer)
	}
	create(spy, "a", `"didCreate":true`)
	create(spy, "b", `"didCreate":true`)
	create(spy, "c", `"error":"too many rooms`)
	create(ann, "a", `"didCreate":true`)
	create(ann, "c", `"didCreate":true`)

	// Connections: acme opens as many as it can, and bolt can still connect.
	taken := 0
	for range 40 {
		c := s.enter("acme")
		if !c.Lines.Scan() || !strings.Contains(c.Lines.Text(), welcomed) {
			break
		}
		taken++
	}
	if taken == 0 || taken > 34 {
		t.Errorf("acme took %d connections of 40", taken)
	}
	s.hears(s.enter("bolt"), welcomed)
}

// TestATenantThatBurnsTheProcessorsSlowsNoOther checks that a tenant whose modules use all their time, in
// many rooms at once, does not slow messages of another tenant.
func TestATenantThatBurnsTheProcessorsSlowsNoOther(t *testing.T) {
	s := newStreet(t, "chain: [{ module: endless, timeout: 50ms, onError: allow, breaker: { minimum: 1000000 } }]", "")
	var stopped atomic.Bool
	var burning sync.WaitGroup
	var said atomic.Int64
	for n := range 6 {
		c, room := s.enter("acme"), fmt.Sprint("r", n)
		s.says(c, fmt.Sprintf(`{"action":"createChatRoom","params":{"name":%q}}`, room), `"didCreate"|too many`)
		s.says(c, "roomAdd "+room, `"data":true`)
		burning.Go(func() {
			for !stopped.Load() {
				fmt.Fprintln(c.Conn, "say "+room+" x")
				if err := c.Hear(regexp.MustCompile(`"message":"x"|"error"`)); err != nil {
					t.Errorf("a client of acme: %v", err)
					said.Add(1 << 20) // a large number ends the test
					return
				}
				said.Add(1)
			}
		})
	}
	defer burning.Wait()
	defer stopped.Store(true)
	bob := s.enter("bolt")
	s.says(bob, "roomAdd hall", `"data":true`)
	// Finished calls of acme are the clock, which suits a busy machine too: each call takes 50 ms.
	const minMessages, minCalls, maxCallsPerMessage = 50, 20, 10
	messages, before := 0, said.Load()
	for ; messages < minMessages || said.Load() < before+minCalls; messages++ {
		s.says(bob, fmt.Sprintf("say hall m%d", messages), fmt.Sprintf(`"message":"m%d"`, messages))
	}
	if calls := int(said.Load() - before); calls > maxCallsPerMessage*messages {
		t.Errorf("%d messages took as long as %d calls of the other tenant", messages, calls)
	}
}

// TestLimitsApplyToEachTenant checks that the limits of messages per second and of
// outboxes apply to each tenant separately.
func TestLimitsApplyToEachTenant(t *testing.T) {
	s := newStreet(t, "limits: { messagesPerSecond: 5, outboxBytes: 4KiB }", "")
	ann, bob := s.enter("acme"), s.enter("bolt")
	s.says(ann, "roomAdd hall", `"data":true`)
	s.says(bob, "roomAdd hall", `"data":true`)
	for n := 0; n < 1000; n++ { // more than the burst, even if a slow machine gives the rate more time
		s.says(ann, "say hall more", `"message":"more"|"error"`)
		if strings.Contains(ann.Lines.Text(), `"error"`) {
			break
		}
	}
	if text := ann.Lines.Text(); !regexp.MustCompile(`"error":"rate limit exceeded".*"retryAfter":\d+`).MatchString(text) {
		t.Errorf("acme receives %s", text)
	}
	for n := range 30 {
		s.says(bob, fmt.Sprintf("say hall m%d", n), fmt.Sprintf(`"message":"m%d"`, n))
	}
}

// TestCertificatesOfAllListenersChangeWhileTheyAreServed checks that each listener serves a new
// certificate after its files have changed, and that connections stay open.
func TestCertificatesOfAllListenersChangeWhileTheyAreServed(t *testing.T) {
	dir := t.TempDir()
	put := func() *x509.Certificate {
		t.Helper()
		cert, key := redistest.Certificate(t)
		for from, to := range map[string]string{cert: "cert.pem", key: "key.pem"} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			nodetest.Write(t, filepath.Join(dir, to+".new"), string(text))
		}
		for _, name := range []string{"cert.pem", "key.pem"} {
			if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	first := put()
	nodetest.Write(t, filepath.Join(dir, "moot.yaml"), fmt.Sprintf(`
http: { listen: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }
socket: { listen: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }
admin: { listen: "127.0.0.1:0", key: %q, tls: { cert: cert.pem, key: key.pem } }
drain: 0s
tenants: { default: { rooms: { starting: [hall] } } }
`, adminKey))
	s := inProcess(t, filepath.Join(dir, "moot.yaml"))
	only := func(cert *x509.Certificate) *tls.Config {
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		return &tls.Config{RootCAs: pool}
	}
	dial := func(address string, cert *x509.Certificate) (*tls.Conn, error) {
		d := &net.Dialer{Timeout: nodetest.Deadline}
		return tls.DialWithDialer(d, "tcp", address, only(cert))
	}
	conn, err := dial(s.Socket, first)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(nodetest.Deadline))
	before := &nodetest.Client{Conn: conn, Lines: bufio.NewScanner(conn)}
	if err := before.Hear(regexp.MustCompile(welcomed)); err != nil {
		t.Fatal(err)
	}
	use := func(cert *x509.Certificate) error {
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: only(cert), DisableKeepAlives: true}}
		res, err := h.Get("https://" + s.Admin + "/health/live")
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		res.Body.Close()
		ctx, cancel := context.WithTimeout(t.Context(), nodetest.Deadline)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "wss://"+s.HTTP+"/ws", &websocket.DialOptions{HTTPClient: h})
		if err != nil {
			return fmt.Errorf("http: %w", err)
		}
		c.CloseNow()
		conn, err := dial(s.Socket, cert)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		return conn.Close()
	}
	if err := use(first); err != nil {
		t.Fatal(err)
	}
	second := put()
	var last error
	if err := redistest.Await("the new certificate", func() bool { last = use(second); return last == nil }); err != nil {
		t.Fatalf("%v: %v\n%s", err, last, &s.Log)
	}
	if _, err := dial(s.Socket, first); err == nil {
		t.Error("the old certificate is still served")
	}
	fmt.Fprintln(before.Conn, "roomAdd hall")
	if err := before.Hear(regexp.MustCompile(`"data":true`)); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
}

// TestTrialsOfATenantHoldUpNoOther checks that trials of a module that uses all its time do not delay trials of another
// tenant, and that the end of a request ends its trial.
func TestTrialsOfATenantHoldUpNoOther(t *testing.T) {
	chain := "chain: [{ module: endless, timeout: 10s }]"
	s := newStreet(t, chain, chain)
	try := func(ctx context.Context, tenant, body string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Admin+"/api/tenants/"+tenant+"/modules/endless/trials", strings.NewReader(body))
		if err != nil {
			return "", err
		}
		r.Header.Set("Authorization", "Bearer "+streetKey+tenant)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		return string(answer), err
	}
	ctx, cancel := context.WithCancel(s.Context())
	var burning sync.WaitGroup
	var done atomic.Int64
	for range 3 {
		burning.Go(func() {
			if _, err := try(ctx, "acme", `{"event":{"hook":"onSayReceive","room":"hall","message":"x"}}`); err == nil {
				done.Add(1)
			}
		})
	}
	for range 5 {
		answer, err := try(s.Context(), "bolt", "{}")
		if err != nil || !strings.Contains(answer, `"hooks":["onSayReceive"]`) {
			t.Errorf("%v: %s", err, answer)
		}
	}
	cancel()
	burning.Wait()
	if n := done.Load(); n == 3 {
		t.Error("the trials of bolt waited for all trials of acme")
	}
	for range 2 { // the ended trials hold no turn
		if answer, err := try(s.Context(), "acme", "{}"); err != nil || !strings.Contains(answer, `"hooks":["onSayReceive"]`) {
			t.Errorf("%v: %s", err, answer)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
