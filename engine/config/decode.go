package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	maxDepth   = 64       // of values in values
	maxAliased = 16 << 20 // bytes that all aliases of a load stand for: their texts, and nodeBytes for each value
	nodeBytes  = 16
)

// decoder fills structs from the nodes of one file.
type decoder struct {
	*load
	file  Path
	loose bool // for an override: the field decides what type the text has
	guest bool // the file is an included one

	secrets Path // the directory of ${file:NAME} in an included file; zero: none
	literal bool // ${...} stays as it is written
}

// cursor is where in the tree a decoder is.
type cursor struct {
	path    string
	depth   int
	aliased bool // behind an alias
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
	at.path = fmt.Sprintf("%s[%d]", at.path, i)
	return at
}

func plainKey(key string) bool {
	return key != "" && len(key) <= maxQuoted && strings.Trim(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func (l *load) decoder(file Path) *decoder { return &decoder{load: l, file: file} }

// place is where a node is. An override has no lines.
func (d *decoder) place(line int) Pos {
	if d.loose {
		line = 0
	}
	return Pos{d.file.Written, line}
}

// decode fills the struct behind target with its defaults and with what text says.
func (d *decoder) decode(target any, text []byte) {
	v := reflect.ValueOf(target).Elem()
	d.defaults(v)
	root, line, err := parse(text)
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
				panic(fmt.Sprintf("config: the default of %s %v", field.Name, err)) // a tag of this package
			}
		case isTree(field.Type) && field.Type.Kind() == reflect.Struct:
			d.defaults(v.Field(i))
		}
	}
}

// isTree tells the structs, maps and lists that hold settings from the types that are
// one setting.
func isTree(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Path](), reflect.TypeFor[Secret](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[Pos]():
		return false
	}
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
}

// value decodes n into v, whose field has the tags given.
// It does nothing once the problems of the file are as many as are reported.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) {
	if d.enough() {
		return
	}
	n, at, ok := d.follow(n, at)
	if !ok {
		return
	}
	pos := d.place(n.Line)
	if _, ok := d.places[at.path]; !ok || d.loose && n.Kind != yaml.MappingNode {
		d.places[at.path] = pos
	}
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(d.json(n, at))
	case !isTree(v.Type()):
		if text, shown, ok := d.text(n, v, at); ok {
			err := d.scalar(v, text, tag)
			if err == nil {
				err = d.bound(v, n.Value)
			}
			if err != nil {
				d.problem(pos, at.path, shown+" "+err.Error())
			}
		}
	case v.Kind() == reflect.Struct && shortOf(v.Type()) >= 0 && n.Kind == yaml.ScalarNode && !isNull(n):
		i := shortOf(v.Type())
		d.value(n, v.Field(i), at, v.Type().Field(i).Tag)
	case v.Kind() == reflect.Struct:
		if f := v.FieldByName("Pos"); f.IsValid() && f.IsZero() {
			f.Set(reflect.ValueOf(pos))
		}
		if f := v.FieldByName("Guest"); f.IsValid() && d.guest {
			f.SetBool(true)
		}
		d.fields(n, v, at)
	case v.Kind() == reflect.Map:
		d.entries(n, v, at, tag)
	default:
		d.list(n, v, at, tag)
	}
}

// enough tells whether the file has as many problems as are reported: the rest is not read.
func (d *decoder) enough() bool {
	if d.counts[d.file.Written] < mostProblemsEach {
		return false
	}
	d.leftOut, d.unread = true, true
	return true
}

// follow goes through an alias. It answers false where the tree is deeper or, with
// aliases followed, larger than it may be.
func (d *decoder) follow(n *yaml.Node, at cursor) (*yaml.Node, cursor, bool) {
	if n.Kind == yaml.AliasNode {
		n, at.aliased = n.Alias, true
	}
	if at.depth > maxDepth {
		d.problem(d.place(n.Line), at.path, fmt.Sprintf("more than %d values in one another", maxDepth))
		return nil, at, false
	}
	return n, at, !at.aliased || d.expand(n, at)
}

// expand counts what stands behind aliases: nine lines of them can stand for billions.
func (d *decoder) expand(n *yaml.Node, at cursor) bool {
	before := d.aliased
	d.aliased += len(n.Value) + nodeBytes*(1+len(n.Content))
	if before <= maxAliased && d.aliased > maxAliased {
		d.problem(d.place(n.Line), at.path, fmt.Sprintf("aliases stand for more than %s", ByteSize(maxAliased)))
	}
	return d.aliased <= maxAliased
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, at cursor) {
	t := v.Type()
	for _, p := range d.pairs(n, at) {
		if d.enough() {
			return
		}
		i := fieldOf(t, p.key)
		if i < 0 {
			d.problem(d.place(p.line), at.key(p.key).path, unknownKey(t, p.key))
			continue
		}
		d.value(p.value, v.Field(i), p.at.key(p.key), t.Field(i).Tag)
	}
	for i := range t.NumField() {
		path := at.key(t.Field(i).Tag.Get("yaml")).path
		if t.Field(i).Tag.Get("required") != "" && v.Field(i).IsZero() && !d.bad[at.path] && !d.bad[path] {
			d.problem(d.place(n.Line), path, "is required")
		}
	}
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.pairs(n, at) {
		if d.enough() {
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
		d.problem(d.place(n.Line), at.path, "want a list, found "+describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	for i, item := range n.Content {
		if d.enough() {
			return
		}
		elem := d.element(v.Type().Elem(), d.place(item.Line))
		d.value(item, elem, at.index(i), tag)
		v.Set(reflect.Append(v, elem))
	}
}

// element is a new element of a map or a list, with its defaults and its place.
func (d *decoder) element(t reflect.Type, pos Pos) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Struct {
		d.defaults(v)
		if f := v.FieldByName("Pos"); f.IsValid() {
			f.Set(reflect.ValueOf(pos))
		}
	}
	return v
}

// shortOf is the index of the field that a text in place of the struct stands for, or -1.
func shortOf(t reflect.Type) int {
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if t.Field(i).Tag.Get("short") != "" {
			return i
		}
	}
	return -1
}

// fieldOf is the index of the field that a key names, or -1.
func fieldOf(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name == key && name != "-" {
			return i
		}
	}
	return -1
}

// unknownKey is what a message says of a key that t does not have.
func unknownKey(t reflect.Type, key string) string {
	if t == reflect.TypeFor[Breaker]() && key == "failures" {
		return "was removed: set ratio, the share of calls that must fail, and minimum, the calls before it counts"
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
