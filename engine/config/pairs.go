package config

import "gopkg.in/yaml.v3"

// pair is one "key: value" of a mapping.
type pair struct {
	key   string
	line  int
	value *yaml.Node
	at    cursor // of the mapping in which it is written
}

// pairs returns the pairs of a mapping: its own keys, each once, and then the keys that
// "<<" merges and that are not among its own. null is an empty mapping.
func (d *decoder) pairs(n *yaml.Node, at cursor) (pairs []pair) {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.problem(d.place(n.Line), at.path, "must be a mapping, not "+describe(n))
		return nil
	}
	first := map[string]Pos{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		pos := d.place(key.Line)
		before, again := first[key.Value]
		switch {
		case key.Kind == yaml.AliasNode:
			d.problem(pos, at.path, "has an alias as a key: write the key as text")
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case key.Kind != yaml.ScalarNode:
			d.problem(pos, at.path, "has "+describe(key)+" as a key: write the key as text")
		case !isText(key):
			d.problem(pos, at.key(key.Value).path, "is a key that is not text: put it in quotes")
		case again:
			d.problem(pos, at.key(key.Value).path, "is a duplicate key, first at "+before.String()+": remove one of the two")
		default:
			first[key.Value] = pos
			pairs = append(pairs, pair{key.Value, pos.Line, value, at})
		}
	}
	for _, value := range merged {
		for _, p := range d.merged(value, at) {
			if _, own := first[p.key]; !own {
				first[p.key] = d.place(p.line)
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

// merged returns the pairs of the value of "<<", which is a mapping or a list of mappings.
func (d *decoder) merged(n *yaml.Node, at cursor) (pairs []pair) {
	at.depth++ // an anchor may merge itself
	n, at, ok := d.follow(n, at)
	if !ok {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.pairs(n, at)
	}
	for _, item := range n.Content {
		pairs = append(pairs, d.merged(item, at)...)
	}
	return pairs
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isFalse reports whether a node is the value false.
func isFalse(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && n.Value == "false"
}

// isText reports whether a scalar is text. A date is text: no setting has a type for dates.
func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!str" || n.ShortTag() == "!!timestamp")
}

// describe returns the name of a node's type. It does not contain the value, which may be a secret.
func describe(n *yaml.Node) string {
	tag := n.ShortTag()
	switch {
	case n.Kind == yaml.MappingNode && tag == "!!map":
		return "a mapping"
	case n.Kind == yaml.SequenceNode && tag == "!!seq":
		return "a list"
	case isText(n):
		return "text"
	case n.Kind == yaml.ScalarNode && (tag == "!!int" || tag == "!!float"):
		return "a number"
	case n.Kind == yaml.ScalarNode && tag == "!!bool":
		return "true or false"
	case isNull(n):
		return "nothing"
	}
	return "a value with the unknown tag " + quote(n.Tag)
}
