package meter

import "bytes"

// maxFuncName is the maximum length of a function name, in bytes; longer names are dropped. The errors of traps contain
// the names.
const maxFuncName = 512

// readCustom keeps the manifest and the offset of the name section, and drops every other custom section.
func (w *rewriter) readCustom(r *reader) {
	switch r.name() {
	case ManifestSection:
		if w.module.Manifest != nil {
			r.fail(ErrNotAllowed, "a second custom section %q", ManifestSection)
		}
		w.module.Manifest = bytes.Clone(r.b[r.p:])
	case "name":
		if w.nameReader == nil {
			w.nameReader = r
		}
	}
}

// readNames keeps the names of functions under their new indices, because the stack trace of a trap shows them. It
// drops the name of the module, because the runtime could confuse it with a host module. It drops a malformed name
// section instead of refusing the module.
func (w *rewriter) readNames() {
	if w.nameReader == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(*Error); !ok {
				panic(p)
			}
			w.names = nil
		}
	}()
	const functionNames = 1
	for r := w.nameReader; !r.done(); {
		id := r.byte()
		sub := r.sub(r.u32())
		if id != functionNames {
			continue
		}
		count, list := w.funcNames(sub)
		list = append(appendU32(nil, count), list...)
		w.names = append(appendName(nil, "name"), functionNames)
		w.names = append(appendU32(w.names, uint32(len(list))), list...)
		return
	}
}

func (w *rewriter) funcNames(r *reader) (count uint32, list []byte) {
	for n := r.count(); n > 0; n-- {
		f, name := r.index("function", len(w.funcs)), r.name()
		if len(name) <= maxFuncName {
			count++
			list = appendName(appendU32(list, w.funcIndex(f)), name)
		}
	}
	return count, list
}
