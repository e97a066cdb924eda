package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/schema"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// Inspection describes a module without an entry.
type Inspection struct {
	SHA256   string // hex
	Size     int    // bytes
	Manifest abi.Manifest
	Imports  []meter.Import
	Exports  []meter.Export
	Memory   meter.Memory  // pages of 64 KiB
	Usage    []meter.Usage // use of each static limit
	NoImage  string        // the reason why its instances do not start from an image, after "it "; "": they do
	Hooks    []abi.Hook    // of the module
	Grants   []string      // grants that an entry needs
	Problems []error       // errors that would fail every load
}

// Instances has numbers about the instances of a node.
type Instances struct {
	ImageBytes int64 // of all images
	Spare      int   // instances that belong to no entry
	Resets     int64 // of instances to their image, so far
}

// Instances returns the present numbers, of all hosts with the same account together.
func (h *Host) Instances() Instances {
	h.codes.mu.Lock()
	defer h.codes.mu.Unlock()
	return Instances{ImageBytes: h.codes.imaged, Spare: h.memory.awake.spares.len(), Resets: h.codes.resets.Load()}
}

// Inspect reads a module and its manifest. During the inspection the module has all grants and the given bytes of
// memory (0: 16 MiB). A script is started with the config; a binary is started without one. The error is returned if
// the module cannot be started; errors of the module itself are in Problems.
func (h *Host) Inspect(ctx context.Context, module Module, config json.RawMessage, memory int64) (*Inspection, error) {
	h.loading.Lock()
	defer h.loading.Unlock()
	if h.closed {
		return nil, errors.New("the host is closed")
	}
	l := &loader{host: h, ctx: ctx, modules: make(map[string]*source)}
	l.read(module)
	l.compileScripts()
	s := l.modules[module.Name]
	if s == nil {
		return nil, l.problems[0].Err
	}
	defer l.releaseCodes()
	memory = cmp.Or(memory, defaultMemory)
	m, err := l.rewrite(s)
	if err == nil {
		err = fits(m, memory)
	}
	if err != nil {
		return nil, err
	}
	i := &Inspection{SHA256: hex.EncodeToString(s.digest[:]), Size: len(s.wasm), Imports: m.Imports, Exports: m.Exports, Usage: m.Usage}
	i.Problems = append(checkExports(m), checkImports(m.Imports, everything)...)
	if len(i.Problems) > 0 {
		return i, nil
	}
	g := &generation{host: h, name: "module@" + i.SHA256[:8], given: everything, capabilities: everything.bits(), binding: binding{memory: memory}, code: s.code.retain(), program: s.program, config: orEmpty(config), store: memstore.New(), counters: new(counters)}
	if g.gate, g.memory = new(gate), (&budget{memory: h.memory}); h.cfg.Account != nil {
		g.gate, g.memory = h.cfg.Account.gate, h.cfg.Account.memory
	} else {
		g.gate.set(1)
	}
	_ = json.Unmarshal(g.config, &g.settings)
	defer g.close()
	i.Memory = g.memorySize()
	if err := g.compile(ctx); err != nil {
		return nil, err
	}
	if im := g.images.get(g, true, nil); im != nil {
		im.release()
	}
	i.NoImage = g.images.why()
	if err := i.declared(g); err != nil {
		i.Problems = append(i.Problems, err)
	}
	return i, nil
}

// declared asks the module for its manifest and reads it.
func (i *Inspection) declared(g *generation) error {
	text, f := g.askManifest()
	if f != nil {
		if d, _ := declare(text, "module", g.exports()); d.config != nil {
			if wrong := checked(func() (*schema.Schema, error) { return compiled(d.config.document) }, string(g.config)); len(wrong) > 0 {
				return errors.Join(wrong...) // why the script has failed
			}
		}
		return fmt.Errorf("its manifest cannot be read: %w", f)
	}
	d, err := declare(text, "module", g.exports())
	for hook := abi.Connect; hook <= abi.Hooks; hook++ {
		if d.hooks[hook] {
			i.Hooks = append(i.Hooks, hook)
		}
	}
	if len(bytes.TrimSpace(text)) > 0 && err == nil {
		err = json.Unmarshal(text, &i.Manifest)
	}
	if i.Manifest.Config != nil && err == nil {
		_, err = compiled(i.Manifest.Config)
	}
	imports := i.Imports
	if g.program != nil {
		imports = nil // these are the imports of the runner; the script declares its capabilities
	}
	i.Grants = needs(imports, i.Manifest.Capabilities)
	return err
}

func orEmpty(config json.RawMessage) json.RawMessage {
	if config == nil {
		return json.RawMessage("{}")
	}
	return config
}

// askManifest starts an instance, without a config, and calls its manifest export. If a script fails, the manifest is the part
// that it has declared before.
func (g *generation) askManifest() ([]byte, *failure) {
	if len(g.code.module.Manifest) > abi.MaxManifest {
		return nil, fail(Protocol, "it has more than %d bytes", abi.MaxManifest)
	}
	if g.code.module.Manifest != nil {
		return g.code.module.Manifest, nil
	}
	in, f := g.instance(nil, true)
	if f != nil {
		return nil, f
	}
	defer in.close()
	in.begin(in.mark+int64(g.host.cfg.StartTimeout), g.name, 0, nil)
	in.from = now()
	defer in.end()
	begin := in.initialize
	if g.program != nil { // the manifest belongs to the script
		begin = in.start
	}
	if f := begin(); f != nil && g.program != nil {
		return in.stopped(abi.ExportManifest, abi.MaxManifest), f
	} else if f != nil {
		return nil, f
	}
	if fn := in.module.ExportedFunction(abi.ExportManifest); fn != nil {
		return in.text(fn, abi.MaxManifest)
	}
	return nil, nil
}

// needs returns the capabilities that an entry must grant: those of the manifest, and those of the imported functions.
func needs(imports []meter.Import, declared []string) []string {
	given, _ := parseGrants(declared)
	list := declared
	for _, im := range imports {
		fn, _ := lookup(im.Module, im.Name)
		if given.has(fn.capability) {
			continue
		}
		list = append(list, grantFor(fn.capability))
		if fn.capability == abi.CapabilityProperties {
			given.properties = []string{"NAME"}
		} else {
			given.capabilities[fn.capability] = true
		}
	}
	return list
}
