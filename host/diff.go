package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mootchat/moot/host/abi"
)

// diff is what the script and moot_init of one binding have changed in an instance from an image. An instance to which
// the image and the diff were applied is in the state of one that has run them. A diff contains the config of a tenant,
// so it belongs to one generation, which ends with any change of the module, the config or the grants. It is immutable.
type diff struct {
	image      *image // from which it differs; not retained
	size       uint64 // of the memory
	runs       []byte // of words that differ: the words since the last run, the number of words, and the words
	globals    []uint64
	buffer     uint32
	capacity   int
	generators []uint32
	sum        [sha256.Size]byte // of the state, with Config.VerifyResets
}

// word is the unit of a diff in bytes.
const word = 8

// maxDiff is the size of the largest diff in bytes.
const maxDiff = 1 << 20

// bytes returns the memory that the diff takes.
func (d *diff) bytes() int64 {
	return int64(cap(d.runs) + 8*len(d.globals) + 4*len(d.generators) + 256)
}

// diff returns how an instance that has started for its entry, and was not called since, differs from its image. It
// returns nil if another start could have another result, or if its random numbers must not repeat.
func (in *instance) diff() *diff {
	l, im := in.linear, in.linear.image
	if im == nil || im.private || in.asks || l.refused != nil || im.mathRand || exports(in.generation.code.module, abi.ExportWake) {
		return nil
	}
	for _, at := range im.generators {
		if b := in.memory()[at : at+generatorSize]; !looksLikeGenerator(b) || !isGenerator(b) {
			return nil // moot_init has put something else in its place
		}
	}
	d := &diff{image: im, size: l.size, buffer: in.buffer, capacity: in.capacity, generators: im.generators}
	var ok bool
	if d.runs, ok = l.runs(); !ok {
		return nil
	}
	for _, global := range in.mutables() {
		d.globals = append(d.globals, global.Get())
	}
	if in.generation.host.cfg.VerifyResets {
		d.sum = in.sum()
	}
	return d
}

// runs returns the words that differ from the image; false if they are too many. It returns pages that do not differ to the
// system: moot_init has written to them and restored them, or has made the heap larger than it needs.
func (l *linear) runs() (runs []byte, ok bool) {
	b, was := l.bytes(), l.image.bytes
	zeros := make([]byte, pageSize)
	var buf []byte
	end := 0
	var from, to int // of pages that do not differ and are not restored yet
	restore := func() {
		if to > from && l.image.mapped() {
			l.region.restore(uint64(from), uint64(to))
		}
	}
	err := l.changed(false, func(at int) {
		page, old := b[at:at+pageSize], zeros
		if at < len(was) {
			old = was[at : at+pageSize]
		}
		switch {
		case bytes.Equal(page, old):
			if at != to {
				restore()
				from = at
			}
			to = at + pageSize
			return
		case len(buf) > maxDiff:
			return
		}
		for from := 0; from < pageSize; {
			if differ(page, old, from) == 0 {
				from += word
				continue
			}
			to := from + word
			for to < pageSize && differ(page, old, to) != 0 {
				to += word
			}
			buf = binary.AppendUvarint(buf, uint64((at+from-end)/word))
			buf = binary.AppendUvarint(buf, uint64((to-from)/word))
			buf = append(buf, page[from:to]...)
			end, from = at+to, to
		}
	})
	restore()
	return bytes.Clone(buf), err == nil && len(buf) <= maxDiff
}

// differ returns 0 if two pages have the same word at an offset.
func differ(page, old []byte, at int) uint64 {
	return binary.NativeEndian.Uint64(page[at:]) ^ binary.NativeEndian.Uint64(old[at:])
}

// apply applies a diff to an instance that has the state of the diff's image.
func (in *instance) apply(d *diff) *failure {
	if more := d.size - in.linear.size; more > 0 {
		if _, ok := in.mem.Grow(uint32(more >> 16)); !ok {
			if err := in.linear.refused; err != nil {
				return &failure{Memory, err}
			}
			return fail(HostFault, "its memory cannot grow to the %d bytes that it had after %s", d.size, abi.ExportInit)
		}
	}
	b, at := in.memory(), 0
	for runs := d.runs; len(runs) > 0; {
		skip, n := binary.Uvarint(runs)
		words, m := binary.Uvarint(runs[n:])
		runs = runs[n+m:]
		at += int(skip) * word
		at += copy(b[at:at+int(words)*word], runs)
		runs = runs[int(words)*word:]
	}
	for i, global := range in.mutables() {
		global.Set(d.globals[i])
	}
	in.buffer, in.capacity = d.buffer, d.capacity
	if in.generation.host.cfg.VerifyResets && in.sum() != d.sum {
		err := errors.New("its state after a diff is not the one that was kept")
		in.generation.host.cfg.Log.Error("an instance differs from its image after a reset", "module", in.generation.name, "error", err)
		return &failure{HostFault, err}
	}
	in.renewGenerators(d.generators)
	return nil
}

// sum returns a digest of the state between two calls.
func (in *instance) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(in.memory())
	for _, global := range in.mutables() {
		fmt.Fprint(h, global.Get(), " ")
	}
	fmt.Fprint(h, in.buffer, in.capacity, in.depth.Get())
	h.Sum(sum[:0])
	return sum
}
