package config

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/ask"
)

const (
	maxAsks       = 16   // asks of an entry: a module may declare this many
	maxTenantAsks = 1000 // asks of all entries of a tenant
)

// checkAsks checks the asks of a tenant's chain entries.
func (l *load) checkAsks(chain []Entry, tenant string) {
	all := 0
	for i, e := range chain {
		at := (cursor{path: tenantKey(tenant)}).key("chain").index(i).key("asks")
		if e.NoAsks && e.Mode != "shadow" {
			l.askProblem(at, "is false, and the entry is no shadow: remove it, define the asks of the module, or set mode: shadow")
		}
		if len(e.Asks) > maxAsks {
			l.askProblem(at, fmt.Sprintf("has %d asks, and a module has at most %d: remove some", len(e.Asks), maxAsks))
			continue
		}
		if all += len(e.Asks); all > maxTenantAsks {
			l.askProblem(at, fmt.Sprintf("the tenant has more than %d asks: remove some", maxTenantAsks))
			return
		}
		for _, name := range sorted(e.Asks) {
			l.checkAsk(&e, e.Asks[name], at.key(name))
		}
	}
}

func (l *load) checkAsk(e *Entry, a Ask, at cursor) {
	if a.Included && !strings.HasPrefix(a.URL, "https:") && !l.isBad(at.key("url").path) {
		l.askProblem(at.key("url"), "does not begin with https://: only the operator's own file may have an http address")
	}
	others := slices.DeleteFunc(slices.Clone(e.Hooks), func(hook string) bool { return !slices.Contains([]string{"connect", "join", "action"}, hook) })
	if a.OnError == "hold" && len(e.Hooks) > 0 && (len(others) > 0 || !slices.Contains(e.Hooks, "onSayReceive")) {
		l.askProblem(at.key("onError"), "is hold, which is possible only at onSayReceive, but the entry has other hooks: set deny or allow, or hooks: onSayReceive")
	}
	first := map[string]string{}
	for _, name := range sorted(a.Headers) {
		path := at.key("headers").key(name)
		if err := ask.CheckHeader(name, a.Headers[name].Reveal()); err != nil {
			l.askProblem(path, err.Error())
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if other, twice := first[canonical]; twice {
			l.askProblem(path, "is the same header as "+quote(other)+": remove one of the two")
		}
		first[canonical] = name
	}
}

// askProblem reports a problem of an ask, unless the setting already has one.
func (l *load) askProblem(at cursor, message string) {
	if !l.isBad(at.path) {
		l.problem(l.pos(at.path), at.path, message)
	}
}
