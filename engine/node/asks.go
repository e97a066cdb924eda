package node

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	outside "github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/ask/web"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/report"
)

// asksOf returns the services of the asks of a chain entry. The error has the place of the ask.
func asksOf(client *web.Client, tenant, at string, e config.Entry) (map[string]host.Ask, error) {
	if len(e.Asks) == 0 {
		return nil, nil
	}
	asks := make(map[string]host.Ask, len(e.Asks))
	for _, name := range slices.Sorted(maps.Keys(e.Asks)) {
		a := e.Asks[name]
		spec := web.Spec{URL: a.URL, Method: a.Method, Headers: make(map[string]string, len(a.Headers)), Timeout: a.Timeout, Cache: a.Cache,
			Requests: a.Concurrency, Rate: float64(a.PerSecond), Restricted: a.Included}
		for header, value := range a.Headers {
			spec.Headers[header] = value.Reveal()
		}
		service, err := client.Service(tenant, e.Module, name, spec)
		if err != nil { // config has checked the values
			return nil, problemAt(a.Pos, at+".asks."+name, err)
		}
		asks[name] = host.Ask{Service: service, OnError: onAskError[a.OnError], Definition: definitionOf(a)}
	}
	return asks, nil
}

var onAskError = map[string]host.Policy{"deny": host.DenyOnError, "allow": host.AllowOnError, "hold": host.HoldOnError}

// definitionOf returns a digest of what an ask requests: of all its settings except onError. It contains no secret.
func definitionOf(a config.Ask) string {
	text := sha256.New()
	fmt.Fprintf(text, "%q %q %v %v %d %d %v", a.URL, a.Method, a.Timeout, a.Cache, a.Concurrency, a.PerSecond, a.Included)
	for _, header := range slices.Sorted(maps.Keys(a.Headers)) {
		value := sha256.Sum256([]byte(a.Headers[header].Reveal()))
		fmt.Fprintf(text, " %q %x", header, value[:2])
	}
	return hex.EncodeToString(text.Sum(nil)[:8])
}

// useAsks puts the services and limits of a configuration into use.
func (l *loaded) useAsks(client *web.Client) {
	n := l.cfg.Limits
	tenants := map[string]web.Use{}
	for name, p := range l.parts {
		var services []outside.Service
		for _, e := range p.rules.Chain {
			for _, a := range e.Asks {
				services = append(services, a.Service)
			}
		}
		if len(services) == 0 {
			continue
		}
		t := l.cfg.Tenants[name].Limits
		tenants[name] = web.Use{Services: services, Limits: web.TenantLimits{Requests: cmp.Or(t.AskRequests, n.AskRequests),
			Rate: float64(cmp.Or(t.AsksPerSecond, n.AsksPerSecond)), CacheBytes: int64(cmp.Or(t.AskCacheBytes, n.AskCacheBytes))}}
	}
	client.Configure(web.Limits{Requests: n.AskTotalRequests, CacheBytes: int64(n.AskCacheTotalBytes), Networks: n.Networks()}, tenants)
}

// asks reports the asks of rules to operators.
type asks struct{ client *web.Client }

// Usage implements api.Asks.
func (a asks) Usage() []report.AskUsage {
	all := []report.AskUsage{}
	for _, s := range a.client.Stats() {
		u := report.AskUsage{Tenant: s.Tenant, Name: s.Name, Waiting: s.Waiting, Requests: s.Requests, Cached: s.Cached, Refused: s.Refused, OpenBreakers: s.Open, Failed: map[string]uint64{}}
		for kind, n := range s.Failed {
			u.Failed[string(kind)] = n
		}
		all = append(all, u)
	}
	return all
}

// Totals implements api.Asks.
func (a asks) Totals() report.AskTotals {
	s := a.client.Node()
	return report.AskTotals{CacheBytes: s.CacheBytes, Took: report.HistogramOf(&s.Took)}
}
