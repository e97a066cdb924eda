package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/trial"
)

// trials runs trials of the modules of the configuration in use. Each tenant has one turn at a time, and
// its own share of the processors and of the memory.
type trials struct {
	now   func() *config.Config
	known func(tenant string) map[string]config.Module // that the tenant's chain may name
	from  *sources
	rules *host.Host
	turns *turns
}

// Try implements api.Trials.
func (t trials) Try(ctx context.Context, tenant, module string, q api.Trial) (api.Tried, error) {
	cfg := t.now()
	m, entry, written, err := t.find(ctx, cfg, tenant, module)
	if err != nil {
		return api.Tried{}, err
	}
	refused := func(what string, err error) error {
		return &engine.VerbError{Text: cfg.Redact(fmt.Sprintf("%s: %v", what, err))}
	}
	account := t.rules.Account(tenant)
	if account == nil {
		return api.Tried{}, api.ErrNoModule // a reload has just removed the tenant
	}
	defer account.Release()
	end, err := t.turns.take(ctx, tenant, account.Wait)
	if err != nil {
		return api.Tried{}, err
	}
	defer end()
	if q.Config != nil {
		if written.Shown, entry.Config, err = edited(written, q.Config); err != nil {
			return api.Tried{}, refused("config", err)
		}
	}
	text, err := m.Binary()
	if err != nil {
		return api.Tried{}, refused("module", err)
	}
	tried, err := trial.Load(ctx, trial.Config{
		Name: module, File: m.File, Script: m.Script, Wasm: text, Settings: entry.Config, Grants: append([]string{}, entry.Grants...),
		Timeout: entry.Timeout, Memory: entry.Memory, Isolation: entry.Isolation, Scripts: t.from.scripts, Tenant: tenant, Account: account, Abort: ctx.Done(),
	})
	if err != nil {
		return api.Tried{}, endedOr(ctx, refused("module", err))
	}
	out := api.Tried{Config: shownConfig(written), Hooks: hooksOf(tried, tenant)}
	if q.Event != nil {
		err = askOnce(ctx, tried, q.Event, &out)
	}
	if err = errors.Join(err, tried.Close()); err != nil {
		return api.Tried{}, refused("event", err)
	}
	return out, endedOr(ctx, nil)
}

// edited returns a config that an operator sent, in two forms: as shown, and as the module gets it, with
// the values of ${...} that the config of the entry has.
func edited(written config.Entry, sent any) (shown, real json.RawMessage, err error) {
	if shown, err = json.Marshal(sent); err != nil {
		return nil, nil, err
	}
	real, err = written.Substitute(shown)
	return shown, real, err
}

// shownConfig returns the config of an entry without the values of ${...}.
func shownConfig(e config.Entry) json.RawMessage {
	if e.Shown != nil {
		return e.Shown
	}
	return e.Config
}

// endedOr returns the error of ctx if ctx has ended, because a later answer is not the module's. Otherwise it
// returns err.
func endedOr(ctx context.Context, err error) error { return cmp.Or(ctx.Err(), err) }

func hooksOf(m *trial.Module, tenant string) []string {
	hooks := []string{}
	for h := hook.Connect; h <= hook.Action; h++ {
		if m.Host().Asks(h, tenant, "") {
			hooks = append(hooks, h.String())
		}
	}
	return hooks
}

func askOnce(ctx context.Context, m *trial.Module, event map[string]any, out *api.Tried) error {
	ev, err := eventOf(event)
	if err != nil {
		return err
	}
	answer, cost, err := m.Ask(ctx, ev)
	out.Answer, out.Took, out.Fuel, out.Memory, out.Calls = answer, millis.DurationOf(cost.Time), cost.Fuel, cost.Memory, cost.Calls
	return err
}

// find returns a module and its first entry in the chain of the tenant, from the host and from the configuration.
func (t trials) find(ctx context.Context, cfg *config.Config, tenant, module string) (host.Module, host.Entry, config.Entry, error) {
	m, ok := t.known(tenant)[module]
	i := slices.IndexFunc(cfg.Tenants[tenant].Chain, func(e config.Entry) bool { return e.Module == module })
	if ok && i >= 0 {
		e := cfg.Tenants[tenant].Chain[i]
		return moduleOf(ctx, module, m, t.from, cfg.Limits.Networks()), entryOf(e, ""), e, nil
	}
	return host.Module{}, host.Entry{}, config.Entry{}, api.ErrNoModule
}

// maxReceivers bounds the receivers of a tried say, because each receiver takes much more memory than bytes in the
// request.
const maxReceivers = 1000

// eventOf reads an event as strictly as `moot module test` reads its test files.
func eventOf(fields map[string]any) (*trial.Event, error) {
	for name, value := range fields {
		if list, ok := value.([]any); ok && strings.EqualFold(name, "receivers") && len(list) > maxReceivers {
			return nil, fmt.Errorf("%d receivers: a trial has at most %d; use moot module test for more", len(list), maxReceivers)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	ev := new(trial.Event)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return ev, d.Decode(ev)
}
