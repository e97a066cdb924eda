package host

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// harmless are the host functions that a module may call while it accepts its config, and be remembered: it reads its
// config and writes to the log. The runtime of Go also reads the clock of WASI, for its scheduler and its collector.
// The contract's clock is not among them: a module that asks for the time may accept a config now and refuse it later.
var harmless = []string{abi.ImportLog, abi.ImportConfigGet, meter.RefuelImport, "fd_write", "clock_time_get"}

// acceptedKey identifies what decides whether a module accepts its config, by its digest.
type acceptedKey = [sha256.Size]byte

// accepted are the bindings that a module has accepted, with the manifests that the modules gave then. Such a binding
// starts no instance when it is loaded again. They are read from the cache at the first question of a load, and written
// back at its end if there are new ones. Refusals are not remembered.
//
// A small load changes few of many bindings. It does not read the list: it starts its bindings, and remembers the accepted
// ones. The next larger load writes them, or a small load when they are many, or the end of the host.
type accepted struct {
	cache Cache
	build func() string

	mu        sync.Mutex
	known     map[acceptedKey]int // number of the manifest; nil: not read yet
	manifests [][]byte
	numbers   map[string]int // of manifests
	used      map[acceptedKey]bool
	added     bool
	bytes     int // of the manifests that were added

	small       bool                   // the present load is small
	recent      map[acceptedKey][]byte // manifests of the bindings that small loads have added since the last save
	last        []byte                 // the last manifest in recent
	recentBytes int                    // of the manifests in recent
}

// Limits of what is remembered.
const (
	maxAccepted  = 100_000
	maxManifests = 4 << 20          // bytes of all manifests
	maxAdded     = 4 * maxManifests // bytes of those that a load adds
	maxSmall     = 64               // greatest number of bindings of a small load
	minMany      = 1000             // least number of bindings in use for a load to be small
	maxRecent    = 1000             // bindings that are not written yet
)

func newAccepted(h *Host) *accepted {
	if h.cfg.Cache == nil || h.cfg.Account != nil || h.cfg.Fresh {
		return nil
	}
	return &accepted{cache: h.cfg.Cache, build: h.build}
}

// startKey returns a digest of everything that decides whether a generation starts, except for the tenant's data.
func (g *generation) startKey() (key acceptedKey) {
	h := sha256.New()
	script := ""
	if g.program != nil {
		script = g.program.Name
	}
	for _, part := range []string{string(g.binding.digest[:]), g.binding.module, script, g.binding.config, g.binding.grants} {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	fmt.Fprint(h, g.binding.memory, int64(g.host.cfg.StartTimeout))
	h.Sum(key[:0])
	return key
}

// begin begins a load that starts n bindings, while others are in use. a may be nil.
func (a *accepted) begin(n, others int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.small = n <= maxSmall && others >= minMany
}

// flush writes what small loads have added. a may be nil.
func (a *accepted) flush() {
	a.begin(0, 0)
	a.save()
}

// find returns the manifest of an accepted binding; false if it is not known. a may be nil.
// In a small load only recent ones are known.
func (a *accepted) find(key acceptedKey) (manifest []byte, ok bool) {
	if a == nil {
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if manifest, ok = a.recent[key]; ok || a.small {
		return manifest, ok
	}
	a.read()
	n, ok := a.known[key]
	if !ok {
		return nil, false
	}
	a.used[key] = true
	return a.manifests[n], true
}

// add remembers an accepted binding, unless the load has added too many manifests. a may be nil.
func (a *accepted) add(key acceptedKey, manifest []byte) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.small {
		a.addRecent(key, manifest)
		return
	}
	a.read()
	a.addKnown(key, manifest)
}

// addRecent adds a binding of a small load. The caller holds mu.
func (a *accepted) addRecent(key acceptedKey, manifest []byte) {
	if !bytes.Equal(a.last, manifest) { // most are equal
		if a.recentBytes+len(manifest) > maxManifests {
			return
		}
		a.last = bytes.Clone(manifest)
		a.recentBytes += len(manifest)
	}
	if a.recent == nil {
		a.recent = make(map[acceptedKey][]byte)
	}
	a.recent[key] = a.last
}

// addKnown adds a binding. The caller holds mu and has read the list.
func (a *accepted) addKnown(key acceptedKey, manifest []byte) {
	if _, known := a.numbers[string(manifest)]; !known {
		if a.bytes+len(manifest) > maxAdded {
			return
		}
		a.bytes += len(manifest)
	}
	a.known[key] = a.number(manifest)
	a.used[key], a.added = true, true
}

// number returns the number of a manifest. The caller holds mu.
func (a *accepted) number(manifest []byte) int {
	n, ok := a.numbers[string(manifest)]
	if !ok {
		n = len(a.manifests)
		a.manifests = append(a.manifests, bytes.Clone(manifest))
		a.numbers[string(manifest)] = n
	}
	return n
}

// name is the name of the entry in the cache. The content of another build is not used.
func (a *accepted) name() string { return "accepted " + a.build() }

// read reads the entry of the cache, unless it was read. Damaged content is as none. The caller holds mu.
func (a *accepted) read() {
	if a.known != nil {
		return
	}
	a.known, a.used, a.numbers = make(map[acceptedKey]int), make(map[acceptedKey]bool), make(map[string]int)
	if a.build() == "" {
		return
	}
	manifests, keys, ok := parseAccepted(a.cache.Get(a.name()))
	if !ok {
		return
	}
	for _, m := range manifests {
		a.manifests = append(a.manifests, m)
		a.numbers[string(m)] = len(a.manifests) - 1
	}
	a.known = keys
}

// save writes the entry of the cache if something was added, and forgets everything until the next load. If there are too
// many bindings, those of this load are kept first. After a small load it waits until there are many. a may be nil.
func (a *accepted) save() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.small && len(a.recent) < maxRecent && a.recentBytes < maxManifests/2 {
		return
	}
	if len(a.recent) > 0 {
		a.read()
		for key, manifest := range a.recent {
			a.addKnown(key, manifest)
		}
		a.recent, a.last, a.recentBytes = nil, nil, 0
	}
	if a.added && a.build() != "" {
		a.cache.Put(a.name(), a.encode())
	}
	a.known, a.used, a.numbers, a.manifests, a.added, a.bytes = nil, nil, nil, nil, false, 0
}

// encode returns the content of the entry: the manifests, each after its length, and the keys, each after the number of its
// manifest. The caller holds mu.
func (a *accepted) encode() []byte {
	keys := slices.SortedFunc(maps.Keys(a.known), func(x, y acceptedKey) int {
		switch {
		case a.used[x] && !a.used[y]:
			return -1
		case a.used[y] && !a.used[x]:
			return 1
		}
		return bytes.Compare(x[:], y[:])
	})
	keys = keys[:min(len(keys), maxAccepted)]
	numbers, size := make(map[int]uint64), 0
	var manifests, list []byte
	count := uint64(0)
	for _, key := range keys {
		old := a.known[key]
		n, ok := numbers[old]
		if m := a.manifests[old]; !ok {
			if size+len(m) > maxManifests {
				continue // others may fit
			}
			size += len(m)
			n = uint64(len(numbers))
			numbers[old] = n
			manifests = append(binary.AppendUvarint(manifests, uint64(len(m))), m...)
		}
		list = append(binary.AppendUvarint(list, n), key[:]...)
		count++
	}
	out := binary.AppendUvarint(nil, uint64(len(numbers)))
	out = append(out, manifests...)
	out = binary.AppendUvarint(out, count)
	return append(out, list...)
}

// parseAccepted parses the content of the entry; false if it is not complete.
func parseAccepted(content []byte) (manifests [][]byte, keys map[acceptedKey]int, ok bool) {
	next := func() uint64 {
		n, size := binary.Uvarint(content)
		if ok = size > 0; !ok {
			return 0
		}
		content = content[size:]
		return n
	}
	for n := next(); ok && n > 0; n-- {
		size := next()
		if !ok || size > uint64(len(content)) {
			return nil, nil, false
		}
		manifests = append(manifests, content[:size:size])
		content = content[size:]
	}
	if !ok {
		return nil, nil, false
	}
	count := next()
	if !ok || count > maxAccepted {
		return nil, nil, false
	}
	keys = make(map[acceptedKey]int, count)
	for ; count > 0; count-- {
		n := next()
		if !ok || n >= uint64(len(manifests)) || len(content) < sha256.Size {
			return nil, nil, false
		}
		keys[acceptedKey(content)] = int(n)
		content = content[sha256.Size:]
	}
	return manifests, keys, len(content) == 0
}

// declarations has what manifests declare. Many bindings share one manifest, which is parsed once, unless those of the
// load have more than maxManifests bytes.
type declarations struct {
	mu    sync.Mutex
	known map[declarationKey]*declaration
	size  int // bytes of the manifests
}

type declarationKey struct {
	code, manifest [sha256.Size]byte
	module         string
}

type declaration struct {
	declared
	err error
}

// of returns what the manifest declares for a generation.
func (d *declarations) of(g *generation, manifest []byte) (declared, error) {
	key := declarationKey{g.code.digest, sha256.Sum256(manifest), g.binding.module}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.known[key]
	if known == nil {
		exports := g.exports()
		known = new(declaration)
		known.declared, known.err = declare(manifest, g.binding.module, exports)
		if d.known == nil {
			d.known = make(map[declarationKey]*declaration)
		}
		if d.size+len(manifest) <= maxManifests {
			d.known[key] = known
			d.size += len(manifest)
		}
	}
	return known.declared, known.err
}

// thisBuild identifies the running program: it is the linker's build ID, or a digest of the file; "" if neither can be
// read.
func thisBuild() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		if note := f.Section(".note.go.buildid"); note != nil {
			if b, err := note.Data(); err == nil && len(b) > 16 {
				return fmt.Sprintf("go %x", b)
			}
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return fmt.Sprintf("sha256 %x", h.Sum(nil))
}
