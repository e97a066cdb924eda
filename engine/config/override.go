package config

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// override decodes settings such as "http.listen=:9999" over c, as if each were a file
// of its own that holds nothing else.
func (l *load) override(c *Config, settings []string) {
	for _, setting := range settings {
		d := l.decoder(Path{Written: "--set", Absolute: c.File.Absolute})
		d.loose = true
		path, value, ok := strings.Cut(setting, "=")
		switch {
		case !ok:
			d.problem(Pos{File: "--set"}, "", quote(setting)+` is not a setting and its value such as "http.listen=:8080"`)
		case path == "include":
			d.problem(Pos{File: "--set"}, path, "only a file can include others")
		default:
			d.value(branch(strings.Split(path, "."), value), reflect.ValueOf(c).Elem(), cursor{}, "")
		}
	}
}

// branch is the tree {a: {b: value}} of the keys a and b.
func branch(keys []string, value string) *yaml.Node {
	n := leaf(value)
	for i := len(keys) - 1; i >= 0; i-- {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: keys[i]}
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, n}}
	}
	return n
}

// leaf is a list or a mapping where the value is one, else the value as it is:
// "[::1]:8080" is an address.
func leaf(value string) *yaml.Node {
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		if root, _, err := parse([]byte(value)); err == nil && root != nil && root.Kind != yaml.ScalarNode {
			return root
		}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}
