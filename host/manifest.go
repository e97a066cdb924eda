package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// declared is a checked manifest.
type declared struct {
	hooks    [abi.Hooks + 1]bool // of the module
	sees     view
	perUnit  shape // the shape of a receiver at on_say
	varies   bool  // on_say is called once for each class of receivers
	actions  map[string]hook.ActionSpec
	requires []string      // capabilities
	denials  bool          // it is called for denied events only
	asks     []string      // names of the external services that it asks
	config   *configSchema // nil: none, or already compiled
	size     int64         // about the bytes that all of this takes, without config
}

// declare reads a manifest. With an empty one the module has every hook that it exports, and sees all fields but
// properties. exports reports whether the module exports a name.
func declare(manifest []byte, module string, exports func(string) bool) (declared, error) {
	var m abi.Manifest
	if len(bytes.TrimSpace(manifest)) > 0 {
		if err := json.Unmarshal(manifest, &m); err != nil {
			return declared{}, fmt.Errorf("its manifest is not valid JSON of the expected shape: %w", err)
		}
	}
	d := declared{requires: m.Capabilities, denials: m.Denials, asks: m.Asks, varies: m.Vary != nil}
	if m.Config != nil {
		d.config = &configSchema{m.Config, sha256.Sum256(manifest)}
	}
	errs := []error{d.setHooks(m.Hooks, exports)}
	var err error
	d.sees, err = viewOf(m.Reads)
	errs = append(errs, err)
	d.perUnit = d.sees.conn
	if d.varies {
		d.perUnit, err = varyOf(m.Vary, &d.sees.conn)
		errs = append(errs, err)
	}
	if d.denials && (d.hooks[abi.Say] || d.hooks[abi.Action]) {
		errs = append(errs, errors.New("its manifest declares denials, but it has on_say or on_action: these are not called for denied events"))
	}
	errs = append(errs, d.checkAsks(exports))
	if m.Pure {
		errs = append(errs, checkPure(m.Capabilities))
	}
	d.size = sizeOf(&m)
	if err := errors.Join(append(errs, d.setActions(m.Actions, module))...); err != nil {
		return d, errors.New(brief(err)) // there may be thousands
	}
	return d, nil
}

// sizeOf returns about the bytes that a decoded manifest takes: a few for each of its JSON.
func sizeOf(m *abi.Manifest) (n int64) {
	const text, action, input = 48, 320, 96
	for _, list := range [][]string{m.Reads, m.Vary, m.Capabilities, m.Asks} {
		for _, name := range list {
			n += text + int64(len(name))
		}
	}
	for _, a := range m.Actions {
		n += action + int64(len(a.Name)+len(a.Description))
		for name, in := range a.Inputs {
			n += input + int64(len(name)+len(in.Description))
		}
	}
	return n
}

// checkPure returns the reason why a module cannot be pure: its answers could depend on data that it keeps.
func checkPure(capabilities []string) error {
	for _, c := range capabilities {
		if c == abi.CapabilityKV || c == abi.CapabilityRate {
			return fmt.Errorf("its manifest says that it is pure, and asks for the capability %q: its answers would depend on more than the frame", c)
		}
	}
	return nil
}

func (d *declared) setHooks(names []string, exports func(string) bool) error {
	var errs []error
	for _, name := range names {
		h := abi.HookNamed(name)
		if h == 0 || !exports(h.Export()) {
			errs = append(errs, fmt.Errorf("its manifest names the hook %q, for which it exports nothing", name))
			continue
		}
		d.hooks[h] = true
	}
	if len(names) == 0 {
		for h := abi.Connect; h <= abi.Hooks; h++ {
			d.hooks[h] = exports(h.Export())
		}
	}
	return errors.Join(errs...)
}

func (d *declared) setActions(list []abi.ActionSpec, module string) error {
	if len(list) > 0 && !d.hooks[abi.Action] {
		return fmt.Errorf("its manifest declares actions, but it has no %s", abi.Action.Export())
	}
	d.actions = make(map[string]hook.ActionSpec, len(list))
	for _, a := range list {
		if _, twice := d.actions[a.Name]; twice || a.Name == "" {
			return fmt.Errorf("its manifest declares the action %q twice, or without a name", a.Name)
		}
		spec := hook.ActionSpec{Description: a.Description, Module: module, Speech: a.Speech, Inputs: make(map[string]hook.InputSpec, len(a.Inputs))}
		for name, in := range a.Inputs {
			spec.Inputs[name] = hook.InputSpec{Required: in.Required, Description: in.Description}
		}
		d.actions[a.Name] = spec
	}
	return nil
}
