package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"gopkg.in/yaml.v3"
)

const (
	maxDepth   = 64       // of nested values
	maxAliased = 16 << 20 // bytes that all aliases of a load expand to: their texts, and nodeBytes for each value
	nodeBytes  = 16
)

// decoder fills structs from the YAML nodes of one file.
type decoder struct {
	*load
	file     Path
	loose    bool // for an override: any scalar is accepted as text
	included bool // the file is an included one
	emptied  bool // the file defines settings in use, and is empty now

	secrets Path // the directory of ${file:NAME} in an included file; zero: none
	literal bool // ${...} stays as written
	visible visibility
}

// cursor is a decoder's position in the tree of settings.
type cursor struct {
	path    string
	depth   int
	aliased bool // inside an alias
}

func (at cursor) key(key string) cursor {
	at.depth++
	if !plainKey(key) {
		key = quote(key)
	}
	if at.path != "" {
		key = at.path + "." + key
	}
	at.path = key
	return at
}

func (at cursor) index(i int) cursor {
	at.depth++
	at.path += "[" + strconv.Itoa(i) + "]"
	return at
}

func plainKey(key string) bool {
	for _, c := range []byte(key) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return key != "" && len(key) <= maxQuoted
}

func (l *load) decoder(file Path) *decoder { return &decoder{load: l, file: file} }

// place returns the position of a line. An override has no lines.
func (d *decoder) place(line int) Pos {
	if d.loose {
		line = 0
	}
	return Pos{d.file.Written, line}
}

// decode fills the struct behind target with its defaults and the settings of text.
func (d *decoder) decode(target any, text []byte) {
	v := reflect.ValueOf(target).Elem()
	d.defaults(v)
	root, line, err := parse(text)
	if err == nil && d.emptied {
		err = errEmptied
	}
	if err != nil {
		d.unread = true
		d.problem(d.place(line), "", err.Error())
		return
	}
	if root != nil {
		d.value(root, v, cursor{}, "")
	}
}

// defaults sets the fields of a struct, and of the structs in it, to their defaults.
func (d *decoder) defaults(v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		text, ok := field.Tag.Lookup("default")
		switch {
		case ok:
			if err := d.scalar(v.Field(i), text, field.Tag); err != nil {
				panic(fmt.Sprintf("config: the default tag of %s %v", field.Name, err)) // a mistake in this package
			}
		case isTree(field.Type) && field.Type.Kind() == reflect.Struct:
			d.defaults(v.Field(i))
		}
	}
}

// isTree reports whether a type is a struct, map or list of settings, as opposed to one
// setting.
func isTree(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Path](), reflect.TypeFor[Secret](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[Pos]():
		return false
	}
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
}

// value decodes n into v, whose field has the given tags. It does nothing if the file
// has reached the limit of reported problems.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) {
	if d.atLimit() {
		return
	}
	n, at, ok := d.follow(n, at)
	if !ok {
		return
	}
	pos := d.place(n.Line)
	if _, ok := d.has(at.path); !ok || d.loose && n.Kind != yaml.MappingNode {
		d.places[at.path] = pos
	}
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(d.json(n, at))
	case !isTree(v.Type()):
		if text, shown, ok := d.text(n, v, at, tag); ok {
			err := d.scalar(v, text, tag)
			if err == nil {
				err = d.bound(v, n.Value)
			}
			if err != nil {
				d.problem(pos, at.path, shown+" "+err.Error())
			}
		}
	case v.Kind() == reflect.Struct && n.Kind == yaml.ScalarNode && !isNull(n) && shortOf(v.Type()) >= 0:
		i := shortOf(v.Type())
		d.value(n, v.Field(i), at, v.Type().Field(i).Tag)
	case v.Kind() == reflect.Struct:
		if f := v.FieldByName("Pos"); f.IsValid() && f.IsZero() {
			f.Set(reflect.ValueOf(pos))
		}
		if f := v.FieldByName("Included"); f.IsValid() && d.included {
			f.SetBool(true)
		}
		d.fields(n, v, at)
	case v.Kind() == reflect.Map:
		d.entries(n, v, at, tag)
	default:
		d.list(n, v, at, tag)
	}
}

// atLimit reports whether the file has reached the limit of reported problems. The rest
// of such a file is not decoded.
func (d *decoder) atLimit() bool {
	if d.counts[d.file.Written] < maxProblemsPerFile {
		return false
	}
	d.leftOut, d.unread = true, true
	return true
}

// follow resolves an alias. It returns false and adds a problem if the tree is too
// deep, or too large with its aliases expanded.
func (d *decoder) follow(n *yaml.Node, at cursor) (*yaml.Node, cursor, bool) {
	if n.Kind == yaml.AliasNode {
		n, at.aliased = n.Alias, true
	}
	if at.depth > maxDepth {
		d.problem(d.place(n.Line), at.path, fmt.Sprintf("has more than %d nested values: remove levels", maxDepth))
		return nil, at, false
	}
	return n, at, !at.aliased || d.expand(n, at)
}

// expand counts the bytes that aliases expand to, because nine lines of aliases can
// expand to billions of bytes.
func (d *decoder) expand(n *yaml.Node, at cursor) bool {
	before := d.aliased
	d.aliased += len(n.Value) + nodeBytes*(1+len(n.Content))
	if before <= maxAliased && d.aliased > maxAliased {
		d.problem(d.place(n.Line), at.path, fmt.Sprintf("the aliases of the configuration expand to more than %s: use fewer aliases", ByteSize(maxAliased)))
	}
	return d.aliased <= maxAliased
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, at cursor) {
	t := v.Type()
	for _, p := range d.pairs(n, at) {
		if d.atLimit() {
			return
		}
		i := fieldOf(t, p.key)
		if i < 0 {
			d.problem(d.place(p.line), at.key(p.key).path, unknownKey(t, p.key))
			continue
		}
		if entry, ok := v.Addr().Interface().(*Entry); ok && p.key == "asks" && isFalse(p.value) {
			d.places[p.at.key(p.key).path] = d.place(p.line)
			entry.Asks, entry.NoAsks = nil, true
			continue
		}
		d.value(p.value, v.Field(i), p.at.key(p.key), t.Field(i).Tag)
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("required") == "" || !v.Field(i).IsZero() || d.bad[at.path] {
			continue
		}
		if path := at.key(t.Field(i).Tag.Get("yaml")).path; !d.bad[path] {
			d.problem(d.place(n.Line), path, "is required: set it")
		}
	}
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.pairs(n, at) {
		if d.atLimit() {
			return
		}
		pos := d.place(p.line)
		if err := check(tag.Get("key"), p.key); err != nil {
			d.problem(pos, at.key(p.key).path, quote(p.key)+" "+err.Error())
		}
		key := reflect.ValueOf(p.key)
		elem := d.element(v.Type().Elem(), pos)
		if old := v.MapIndex(key); old.IsValid() {
			elem.Set(old)
		}
		d.value(p.value, elem, p.at.key(p.key), "")
		v.SetMapIndex(key, elem)
	}
}

// list decodes a list. A list of texts may be written as one text.
func (d *decoder) list(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) {
	switch elem := v.Type().Elem(); {
	case isNull(n):
		return
	case n.Kind == yaml.ScalarNode && (elem.Kind() == reflect.String || shortOf(elem) >= 0):
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.value(n, v.Index(0), at, tag)
		return
	case n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq":
		d.problem(d.place(n.Line), at.path, "must be a list, not "+describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	for i, item := range n.Content {
		if d.atLimit() {
			return
		}
		elem := d.element(v.Type().Elem(), d.place(item.Line))
		d.value(item, elem, at.index(i), tag)
		v.Set(reflect.Append(v, elem))
	}
}

// element returns a new element of a map or a list with its defaults and position.
func (d *decoder) element(t reflect.Type, pos Pos) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() != reflect.Struct {
		return v
	}
	v.Set(d.elements.of(t, d.defaults)) // the lists in it are shared: the decoder replaces lists, and changes none
	if f := v.FieldByName("Pos"); f.IsValid() {
		f.Set(reflect.ValueOf(pos))
	}
	return v
}

// shortOf returns the index of the field with the tag short, or -1.
func shortOf(t reflect.Type) int {
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if t.Field(i).Tag.Get("short") != "" {
			return i
		}
	}
	return -1
}

// fieldOf returns the index of the field with this key, or -1.
func fieldOf(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name == key && name != "-" {
			return i
		}
	}
	return -1
}

// unknownKey returns the message for a key that t does not have.
func unknownKey(t reflect.Type, key string) string {
	if t == reflect.TypeFor[Breaker]() && key == "failures" {
		return "was removed: set ratio (the share of calls that fail) and minimum (the calls from which on it counts)"
	}
	return "unknown key" + suggest(key, keysOf(t))
}

func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			keys = append(keys, name)
		}
	}
	return keys
}
