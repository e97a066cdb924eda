package config

import (
	"encoding/json"
	"errors"
	"strings"

	"gopkg.in/yaml.v3"
)

// json returns any value as JSON; nil for null and for a value with problems.
func (d *decoder) json(n *yaml.Node, at cursor) json.RawMessage {
	before, fills := len(d.problems), d.fills
	d.content = nil
	value := d.any(n, at)
	if value == nil || len(d.problems) > before {
		return nil
	}
	delete(d.nodes, at.path)
	if d.loose {
		delete(d.configs, at.path)
	} else {
		d.nodes[at.path] = n
	}
	if d.fills > fills {
		d.literal = true
		d.configs[at.path] = jsonOf(d.any(n, at))
		d.literal = false
	}
	if d.content != nil {
		d.lists[at.path] = sum(d.content)
	}
	text, err := json.Marshal(value)
	if err != nil {
		d.problem(d.place(n.Line), at.path, err.Error())
	}
	return text
}

// jsonOf returns a value of any as JSON; null if the value cannot be encoded.
func jsonOf(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// any returns a value in the types of package encoding/json.
func (d *decoder) any(n *yaml.Node, at cursor) any {
	n, at, ok := d.follow(n, at)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, p := range d.pairs(n, at) {
			m[p.key] = d.any(p.value, p.at.key(p.key))
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			list = append(list, d.any(item, at.index(i)))
		}
		return list
	}
	if kind, path, whole := wholeFile(n.Value); whole && !d.literal {
		value, err := d.fileValue(kind, path)
		if err == nil {
			return value
		}
		d.problem(d.place(n.Line), at.path, quote(n.Value)+": "+err.Error())
		return nil
	}
	d.visible = visibility{} // modules may use values as secrets
	text, filled, err := d.fill(n.Value)
	if err == nil {
		resolved := *n
		if resolved.Value = text; filled && n.Style == 0 { // decoded as if it were written here: 5 is a number, "5" is text
			resolved.Tag = ""
		}
		var value any
		if value, err = anyScalar(&resolved); err == nil {
			return value
		}
	}
	d.problem(d.place(n.Line), at.path, err.Error())
	return nil
}

func anyScalar(n *yaml.Node) (value any, err error) {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!bool", "!!int", "!!float":
		if number := json.Number(n.Value); strings.Trim(n.Value, "0123456789+-.eE") == "" && json.Valid([]byte(number)) {
			return number, nil // keeps every digit
		}
		if err = n.Decode(&value); err == nil {
			_, err = json.Marshal(value)
		}
		if err != nil {
			err = errors.New("cannot be written as JSON: use a finite number")
		}
		return value, err
	}
	return nil, errors.New("must be text, a number, true, false or null, not " + describe(n))
}
