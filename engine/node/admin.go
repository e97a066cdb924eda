package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/console"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/listen"
	"github.com/mootchat/moot/host/store"
	"github.com/mootchat/moot/host/trial"
)

// newAPI makes the server API. The API answers other nodes even if admin.listen is "".
func (n *Node) newAPI(store store.Store) *api.Server {
	admin := n.cfg.Admin
	metricsTenants := admin.Metrics.Tenants
	if metricsTenants == 0 {
		metricsTenants = -1
	}
	return api.New(api.Config{
		MetricsTenants: metricsTenants, MetricsFor: admin.Metrics.Named, Certificates: n.certificates, RoundTrips: n.roundTrips,
		Engine: n.engine, Rules: n.reloader, Decisions: n.rules, Version: n.source.Version, Keys: n.apiKeys(n.reloader.current.Load().Admin), Hosts: admin.Hosts,
		RequestsPerSecond: admin.RequestsPerSecond, Log: n.log,
		Modules: n.rules, Values: values{store}, Recorder: recorder{trial.NewRecorder(n.rules)},
		Trials: trials{now: n.reloader.current.Load, known: n.reloader.modulesOf, from: n.reloader.from, rules: n.rules, turns: newTurns(max(2, runtime.GOMAXPROCS(0)))}, Console: console.Handler(), Events: sinks{n.events}, Asks: asks{n.reloader.from.asks},
		AcceptFailures: func() uint64 { return n.descriptors.Failed() }, PendingClosed: func() uint64 { return n.pending.Closed() },
		Checks: []api.Check{{Name: "shutdown", Ready: n.notStopping}, {Name: "rules", Ready: n.reloader.healthy, Advisory: true},
			{Name: "restart", Ready: n.reloader.restarted, Advisory: true}},
	})
}

// apiKeys returns the keys of the server API. If admin.key is not set, it makes one, once for each run.
func (n *Node) apiKeys(admin config.Admin) []api.Key {
	key := admin.Key.Reveal()
	if key == "" {
		if n.madeKey == "" {
			n.madeKey = rand.Text()
			n.showKey(n.madeKey)
		}
		key = n.madeKey
	}
	keys := []api.Key{{Name: config.AdminName, Text: key, Role: "operator"}}
	for tenant, k := range admin.TenantKeys {
		keys = append(keys, api.Key{Name: "tenant:" + tenant, Text: k.Reveal(), Role: "operator", Tenants: []string{tenant}})
	}
	for _, k := range admin.Keys {
		keys = append(keys, api.Key{Name: k.Name, Text: k.Key.Reveal(), Role: api.Role(k.Role), Tenants: k.Tenants})
	}
	return keys
}

// roundTrips returns the statistics of the node's round trips to Redis.
func (n *Node) roundTrips() (all []api.RoundTrip) {
	for _, t := range n.redis.Snapshot() {
		all = append(all, api.RoundTrip(t))
	}
	return all
}

// certificates returns the expiry time of each TLS listener's certificate, by the setting of the listener.
func (n *Node) certificates() map[string]time.Time {
	all := map[string]time.Time{}
	add := func(name string, l net.Listener) {
		if end, ok := listen.Expiry(l); ok {
			all[name] = end
		}
	}
	d := n.listeners.Load()
	if d == nil {
		return nil
	}
	add("http", d.web)
	add("admin", d.admin)
	for i, l := range d.sockets {
		add(n.cfg.SocketName(i), l)
	}
	return all
}

// showKey logs a key that was made for this run, if the log is text. A JSON log has a warning in place of
// the key, because other programs collect and keep it. Both are logged at every log.level, because no
// other message explains why the API refuses the admin.
func (n *Node) showKey(key string) {
	if n.cfg.Admin.Listen == "" {
		return
	}
	log, _ := logger(config.Log{Level: "info", Format: n.cfg.Log.Format}, n.source.Log)
	if n.cfg.Log.Format == "json" {
		log.Warn("admin.key is not set: the API refuses the admin, because a JSON log shows no key: set admin.key and reload")
		return
	}
	log.Info("admin.key is not set: this one holds until the server stops; set admin.key if this log is kept", "key", key)
}

// operator answers the operators of other nodes. The API is made after the engine, and before the
// engine runs.
func (n *Node) operator(ctx context.Context, question json.RawMessage) (json.RawMessage, error) {
	return n.api.Answer(ctx, question)
}

// listenAdmin opens the listener of the server API. It returns nil if admin.listen is "".
func (n *Node) listenAdmin(ctx context.Context) (net.Listener, error) {
	if n.cfg.Admin.Listen == "" {
		return nil, nil
	}
	return n.open(ctx, "admin", n.cfg.Admin.Listen, n.cfg.Admin.TLS, false, "http/1.1")
}

// serveAdmin serves the API from before the engine is ready until the last client is closed.
func (n *Node) serveAdmin(ctx context.Context, parts *errgroup.Group, l net.Listener) {
	if l == nil {
		return
	}
	n.part(parts, "admin", func() error { return n.api.Serve(ctx, l) })
	n.log.Info("serving", "admin", l.Addr().String())
}
