package config

import (
	"strconv"

	"gopkg.in/yaml.v3"
)

// PosOf returns the position of a value in Config. path has the keys of mappings and the numbers of list elements that lead
// to the value. If the value is not written in the file, PosOf returns the position of the nearest one around it; after
// [Config.Forget], Pos.
func (e *Entry) PosOf(path []string) Pos {
	pos := e.Pos
	if e.written == nil {
		return pos
	}
	pos.Line = e.written.Line
	for n, i := e.written, 0; i < len(path); i++ {
		line, value := child(n, path[i], 0)
		if value == nil {
			break
		}
		pos.Line, n = line, value
	}
	return pos
}

// child returns the value of a key or an element, without an alias, and the line that names it; nil if there is none.
func child(n *yaml.Node, key string, depth int) (line int, value *yaml.Node) {
	n = behind(n)
	switch {
	case depth > maxDepth: // an anchor may merge itself
	case n.Kind == yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i].Line, behind(n.Content[i])
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key && n.Content[i].ShortTag() != "!!merge" {
				return n.Content[i].Line, behind(n.Content[i+1])
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].ShortTag() != "!!merge" {
				continue
			}
			from := []*yaml.Node{n.Content[i+1]}
			if list := behind(n.Content[i+1]); list.Kind == yaml.SequenceNode {
				from = list.Content
			}
			for _, one := range from {
				if line, value := child(one, key, depth+1); value != nil {
					return line, value
				}
			}
		}
	}
	return 0, nil
}

func behind(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// Forget releases the memory that PosOf of the entries uses. Call it when the modules of the configuration are loaded.
func (c *Config) Forget() {
	for _, t := range c.Tenants {
		for i := range t.Chain {
			if t.Chain[i].written != nil { // a configuration in use is not written to
				t.Chain[i].written = nil
			}
		}
	}
}
