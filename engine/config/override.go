package config

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// override decodes settings such as "http.listen=:9999" into c. It decodes each like a
// file that contains only this setting.
func (l *load) override(c *Config, settings []string) {
	for _, setting := range settings {
		d := l.decoder(Path{Written: "--set", Absolute: c.File.Absolute})
		d.loose = true
		path, value, ok := strings.Cut(setting, "=")
		switch {
		case !ok:
			d.problem(Pos{File: "--set"}, "", quote(setting)+` is not an override: use SETTING=VALUE, such as "http.listen=:8080"`)
		case path == "include":
			d.problem(Pos{File: "--set"}, path, "cannot be overridden: set it in the file")
		default:
			d.value(branch(strings.Split(path, "."), value), reflect.ValueOf(c).Elem(), cursor{}, "")
		}
	}
}

// branch returns the tree {a: {b: value}} for the keys a and b.
func branch(keys []string, value string) *yaml.Node {
	n := leaf(value)
	for i := len(keys) - 1; i >= 0; i-- {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: keys[i]}
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, n}}
	}
	return n
}

// leaf parses a value that is a list or a mapping; other values, such as "[::1]:8080", are text.
func leaf(value string) *yaml.Node {
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		if root, _, err := parse([]byte(value)); err == nil && root != nil && root.Kind != yaml.ScalarNode {
			return root
		}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}
