package host

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/wasi"
)

// grants are the permissions of an entry.
type grants struct {
	capabilities map[string]bool // of abi, without properties
	properties   []string        // that the module may set
}

func (g grants) has(capability string) bool {
	if capability == abi.CapabilityProperties {
		return len(g.properties) > 0
	}
	return capability == "" || g.capabilities[capability]
}

// capabilityBit returns the bit of a capability in generation.capabilities; 0 for none.
func capabilityBit(capability string) uint16 {
	return 1 << slices.Index(capabilities, capability) >> 1
}

// capabilities are all capabilities, after "" for functions that need none.
var capabilities = []string{"", abi.CapabilityKV, abi.CapabilityRate, abi.CapabilityEmit, abi.CapabilityRooms, abi.CapabilityProperties,
	abi.CapabilitySanctions, abi.CapabilityMembers, abi.CapabilityIdentity, abi.CapabilityAmend}

// bits returns the capabilities as a set.
func (g grants) bits() (bits uint16) {
	for _, capability := range capabilities {
		if g.has(capability) {
			bits |= capabilityBit(capability)
		}
	}
	return bits
}

// everything is all grants. The imports of a runner are compared with it, because they do not depend on the
// script.
var everything = grants{properties: []string{""}, capabilities: map[string]bool{
	abi.CapabilityKV: true, abi.CapabilityRate: true, abi.CapabilityEmit: true, abi.CapabilityRooms: true,
	abi.CapabilitySanctions: true, abi.CapabilityMembers: true, abi.CapabilityIdentity: true,
	abi.CapabilityAmend: true,
}}

func parseGrants(list []string) (grants, error) {
	g := grants{capabilities: make(map[string]bool)}
	for _, grant := range list {
		name, rest, found := strings.Cut(grant, ":")
		switch name {
		case abi.CapabilityKV, abi.CapabilityRate, abi.CapabilityEmit, abi.CapabilityRooms, abi.CapabilitySanctions, abi.CapabilityMembers, abi.CapabilityIdentity, abi.CapabilityAmend:
			if !found {
				g.capabilities[name] = true
				continue
			}
		case abi.CapabilityProperties:
			if names := strings.Split(rest, ","); !slices.Contains(names, "") {
				g.properties = append(g.properties, names...)
				continue
			}
		}
		return g, fmt.Errorf("grants: unknown capability %q; known are kv, rate, emit, rooms, sanctions, members, identity, amend and properties:NAME[,NAME]", grant)
	}
	return g, nil
}

// exportTypes are the signatures of the exports that the contract names.
func exportTypes() map[string]string {
	types := map[string]string{
		abi.ExportMarker:     "() -> ()",
		abi.ExportAlloc:      "(i32) -> (i32)",
		abi.ExportManifest:   "() -> (i64)",
		abi.ExportInit:       "(i32, i32, i32) -> (i32)",
		abi.ExportReason:     "() -> (i64)",
		abi.ExportInitialize: "() -> ()",
		abi.ExportWake:       "() -> ()",
		script.Export:        "(i32, i32, i32) -> (i32)",
	}
	for h := abi.Connect; h <= abi.Hooks; h++ {
		types[h.Export()] = "(i32) -> (i32)"
	}
	types[abi.ExportAnswer] = "(i32) -> (i32)"
	return types
}

// checkExports returns errors about the exports of a module.
func checkExports(m *meter.Module) (errs []error) {
	types := exportTypes()
	have := make(map[string]bool)
	for _, e := range m.Exports {
		want, known := types[e.Name]
		switch {
		case known && e.Kind != meter.Func:
			errs = append(errs, fmt.Errorf("export %s is a %v, it must be a function %s", e.Name, e.Kind, want))
		case known && e.Type.String() != want:
			errs = append(errs, fmt.Errorf("export %s is %v, it must be %s", e.Name, e.Type, want))
		case e.Name == abi.ExportMemory && e.Kind != meter.Mem:
			errs = append(errs, fmt.Errorf("export %s is a %v, it must be the memory", e.Name, e.Kind))
		}
		have[e.Name] = true
	}
	switch {
	case !have[abi.ExportMarker] && !have[abi.ExportAlloc]:
		errs = append(errs, fmt.Errorf("not a Moot module: it does not export %s; build it with an SDK, or see the guest ABI", abi.ExportMarker))
	case !have[abi.ExportMarker]:
		errs = append(errs, fmt.Errorf("it does not export %s: it supports no version of the ABI that this host supports", abi.ExportMarker))
	case !have[abi.ExportAlloc]:
		errs = append(errs, fmt.Errorf("it does not export %s", abi.ExportAlloc))
	}
	if m.Memory == nil || !have[abi.ExportMemory] {
		errs = append(errs, fmt.Errorf("it does not export its memory as %q", abi.ExportMemory))
	}
	return errs
}

// maxErrors limits the errors about the imports of one module.
const maxErrors = 8

// checkImports returns errors about imports that the host does not have or the entry does not grant.
func checkImports(imports []meter.Import, given grants) (errs []error) {
	for i, im := range imports {
		if len(errs) == maxErrors {
			return append(errs, fmt.Errorf("there are %d more imports, which were not checked", len(imports)-i))
		}
		name := fmt.Sprintf("%.100s.%.100s", im.Module, im.Name)
		fn, known := lookup(im.Module, im.Name)
		switch {
		case !known && im.Module == abi.ImportModule:
			errs = append(errs, fmt.Errorf("it imports %s, which this host does not have; is the module newer than the host?", name))
		case !known:
			errs = append(errs, fmt.Errorf("it imports %s, but a module may import from %s and %s alone", name, abi.ImportModule, wasi.ModuleName))
		case im.Type.String() != fn.Signature.String():
			errs = append(errs, fmt.Errorf("it imports %s as %v, but it is %v", name, im.Type, fn.Signature))
		case !given.has(fn.capability):
			errs = append(errs, fmt.Errorf("it imports %s, which needs the capability %q: add it to the entry's grants, or do not use the module",
				name, grantFor(fn.capability)))
		}
	}
	return errs
}

func grantFor(capability string) string {
	if capability == abi.CapabilityProperties {
		return abi.CapabilityProperties + ":NAME"
	}
	return capability
}

// checkCapabilities compares the capabilities of a manifest with the grants.
func checkCapabilities(want []string, given grants) (errs []error) {
	for _, capability := range want {
		name, rest, _ := strings.Cut(capability, ":")
		if _, err := parseGrants([]string{cmp.Or(rest, name)}); err != nil && rest == "" {
			errs = append(errs, fmt.Errorf("its manifest asks for a capability %q that this host does not have", capability))
			continue
		}
		missing := !given.has(name)
		for _, property := range strings.Split(rest, ",") {
			missing = missing || property != "" && !slices.Contains(given.properties, property)
		}
		if missing {
			errs = append(errs, fmt.Errorf("it needs the capability %q: add it to the entry's grants", capability))
		}
	}
	return errs
}

// checkUses returns errors about capabilities that a script uses and does not declare: only its manifest says what the
// script needs, because its runner imports everything. Grants of declared ones are left to checkCapabilities. A use
// that the text of the script does not show fails when it happens, if it is not granted.
func checkUses(p *script.Program, declared []string, given grants) (errs []error) {
	if p == nil {
		return nil
	}
	for _, use := range p.Uses {
		name, property, _ := strings.Cut(use.Capability, ":")
		if asksFor(declared, name, property) {
			continue
		}
		todo := "declare and grant"
		if given.has(name) && (property == "" || slices.Contains(given.properties, property)) {
			todo = "declare"
		}
		if property == "" {
			name = grantFor(name)
		} else {
			name = use.Capability
		}
		errs = append(errs, fmt.Errorf("%s: %s needs the capability %q: %s %s", p.Place(use), use.What(), name, todo, name))
	}
	return errs
}

// asksFor reports whether a manifest asks for a capability; property is "" unless it is that to set one property.
func asksFor(declared []string, name, property string) bool {
	return slices.ContainsFunc(declared, func(capability string) bool {
		have, rest, _ := strings.Cut(capability, ":")
		return have == name && (property == "" || slices.Contains(strings.Split(rest, ","), property))
	})
}
