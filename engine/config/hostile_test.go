package config_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

// TestIncludedFileRevealsNoSecret checks that problems show no substituted values of
// the main file, even if an included file has the same settings as the main file.
func TestIncludedFileRevealsNoSecret(t *testing.T) {
	t.Chdir(filepath.Dir(write(t, map[string]string{
		"s": "hunter2", "n": "5557713",
		"t.yaml": "tenants: {a: {chain: [{module: x, config: {k: 1}}], limits: {outboxBytes: 2MiB}}}",
	})))
	expect(t, strings.TrimSpace(`
include: t.yaml
limits: { outboxBytes: 1MiB }
tenants: { default: {}, a: { limits: { outboxBytes: "${file:n}" }, chain: [{ module: "${file:s}" }] } }
`), strings.TrimSpace(`
c:3: tenants.a.chain[0].module: the value of "${file:s}" is an unknown module
c:3: tenants.a.limits.outboxBytes: the value of "${file:n}" is more than the node's limits.outboxBytes (1MiB): lower it, or raise limits.outboxBytes
t.yaml:1: tenants.a: is defined twice, first at c:3: remove or rename one of the two
`))
}

// TestProblemsPerFileAreLimited checks that a file of the largest size, full of mistakes,
// neither fills logs nor hides the problems of other files.
func TestProblemsPerFileAreLimited(t *testing.T) {
	full := func(one string, end string) string {
		return strings.Repeat(one, ((1<<20)-100)/len(one)) + end
	}
	var keys, entries, modules strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&keys, "k%d: {a: 1}\n", i)
		fmt.Fprintf(&entries, "{module: z%d},", i)
		fmt.Fprintf(&modules, "m%d: {file: x},", i)
	}
	for name, hostile := range map[string]string{
		"entries": "tenants: {h: {chain: [" + full("x,", "]}}"),
		"keys":    keys.String(),
		"unknown": "modules: {" + modules.String() + "}\ntenants: {h: {chain: [" + entries.String() + "]}}",
		"configs": "tenants: {h: {chain: [{module: m, config: [" + full("'${',", "]}]}}"),
	} {
		path := write(t, map[string]string{
			"config.yaml": "include: [a.yaml, b.yaml]\nmodules: {m: {file: m.wasm}}\ntenants: {default: {}}",
			"a.yaml":      hostile, "b.yaml": "tenants: {b: {x: 1}}",
		})
		_, err := config.Load(path, nil)
		text := fmt.Sprint(err)
		lines := strings.Split(text, "\n")
		if len(lines) > 110 || len(text) > 64<<10 {
			t.Errorf("%s: %d lines, %d bytes", name, len(lines), len(text))
		}
		if last := lines[len(lines)-1]; !strings.Contains(last, "there are more problems: ") {
			t.Errorf("%s: the last line is %s", name, last)
		}
		if !strings.Contains(text, "tenants.b.x: unknown key") {
			t.Errorf("%s hides the problem of another file", name)
		}
	}
}

func TestProblemsAreLimitedInAll(t *testing.T) {
	all := map[string]string{"config.yaml": "include: t/*\ntenants: {default: {}}"}
	for i := range 20 {
		var text strings.Builder
		for k := range 100 {
			fmt.Fprintf(&text, "k%d: 1\n", k)
		}
		all[fmt.Sprintf("t/%d.yaml", i)] = text.String()
	}
	_, err := config.Load(write(t, all), nil)
	if lines := strings.Count(fmt.Sprint(err), "\n") + 1; lines != 1001 {
		t.Errorf("%d lines", lines)
	}
}

// TestDigestDoesNotRevealSecrets checks that many values of ${...} in a module's config
// have the same digest, so that the digest does not confirm a guess.
func TestDigestDoesNotRevealSecrets(t *testing.T) {
	path := write(t, map[string]string{"config.yaml": "modules: {m: {file: m.wasm}}\ntenants: {default: {chain: [{module: m, config: {pin: '${PIN}'}}]}}"})
	digests := map[[32]byte]bool{}
	const guesses = 3000 // about 67 pairs of them agree in 16 bits
	for i := range guesses {
		c, err := config.Load(path, func(string) (string, bool) { return fmt.Sprintf("pin-%d", i), true })
		if err != nil {
			t.Fatal(err)
		}
		digests[config.Digest(c)] = true
	}
	if n := len(digests); n == guesses || n < guesses*9/10 {
		t.Errorf("%d secrets have %d digests", guesses, n)
	}
}

// TestLargeTextHasTheParsersLine checks that an error in a large text has the parser's
// line: the text is not searched for the exact line.
func TestLargeTextHasTheParsersLine(t *testing.T) {
	_, err := config.Parse("c", []byte(strings.Repeat("a: b\n", 20_000)+"\t"), nil)
	if err == nil || !strings.Contains(err.Error(), "is not valid YAML: found a tab character") {
		t.Errorf("got %v", err)
	}
}
