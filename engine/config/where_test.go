package config

import (
	"strings"
	"testing"
)

func TestPositionsOfValuesInTheConfigOfAnEntry(t *testing.T) {
	text := `modules: { m: { file: m.wasm } }
tenants:
  default:
    chain:
      - module: m
        config: &all
          words:
            - one
            - [two,
               three]
          <<: { mask: "*" }
          deep: { a: 1, b: 2 }
      - module: m
        config:
          <<: [ { x: 1 }, *all ]
          own: 1
      - { module: m, config: { inline: 1 } }
      - { module: m, config: *all }
`
	c, err := Parse("c.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(entry int, path string) int {
		return c.Tenants["default"].Chain[entry].PosOf(strings.Fields(path)).Line
	}
	for _, test := range []struct {
		entry int
		path  string
		line  int
	}{{0, "", 6}, {0, "words", 7}, {0, "words 0", 8}, {0, "words 1 1", 10}, {0, "words 7", 7}, {0, "mask", 11}, {0, "deep b", 12}, {0, "none", 6},
		{1, "own", 16}, {1, "x", 15}, {1, "words 0", 8}, {2, "inline", 17}, {3, "deep", 12}} {
		if got := at(test.entry, test.path); got != test.line {
			t.Errorf("entry %d, %q: line %d, want %d", test.entry, test.path, got, test.line)
		}
	}
	c.Forget()
	if got := at(0, "words 0"); got != 5 {
		t.Errorf("after Forget: line %d", got)
	}
}
