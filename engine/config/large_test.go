package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

// largeFiles returns texts of included files of about size bytes, with many small
// settings.
func largeFiles(size int) map[string]string {
	const module = "modules: {m: {file: x.wasm}}\ntenants: {a: {chain: ["
	files := map[string]string{}
	for name, text := range map[string][3]string{
		"tenants":  {"tenants: {", "t%d: {},", "}"},
		"comments": {"tenants:\n", "  # x\n  t%d: {}\n", ""},
		"modules":  {"modules: {", "m%d: {file: x.wasm},", "}"},
		"chain":    {module, "{module: m},", "]}}"},
		"config":   {module + "{module: m, config: {", "k%d: 1,", "}}]}}"},
		"settings": {"tenants: {a: {rooms: {settings: [", "{},", "]}}}"},
		"rooms":    {module + "{module: m, room: [", "r%d,", "]}]}}"},
	} {
		var b strings.Builder
		b.WriteString(text[0])
		for i := 0; b.Len() < size-100; i++ {
			b.WriteString(strings.Replace(text[1], "%d", fmt.Sprint(i), 1))
		}
		b.WriteString(text[2])
		files[name] = b.String()
	}
	return files
}

// include writes a main file that includes a file with this text, and returns its name.
func include(t testing.TB, text string) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"x.wasm": "", "big.yaml": text, "moot.yaml": "include: [big.yaml]\ntenants: { default: {} }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "moot.yaml")
}

// TestLargeIncludeCostsLittle checks that an included file costs at most a few
// allocations per byte, with any settings. Tenants may write such files.
func TestLargeIncludeCostsLittle(t *testing.T) {
	const size, allocsPerByte, bytesPerByte = 64 << 10, 5, 480
	for name, text := range largeFiles(size) {
		file := include(t, text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := config.Load(file, nil); err != nil {
			t.Fatal(name, err)
		}
		runtime.ReadMemStats(&after)
		allocs, bytes := (after.Mallocs-before.Mallocs)/size, (after.TotalAlloc-before.TotalAlloc)/size
		if allocs > allocsPerByte || bytes > bytesPerByte {
			t.Errorf("%s: loading allocates %d times and %d bytes for each byte of the file", name, allocs, bytes)
		}
	}
}

func BenchmarkLargeInclude(b *testing.B) {
	for name, text := range largeFiles(1 << 20) {
		b.Run(name, func(b *testing.B) {
			file := include(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := config.Load(file, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
