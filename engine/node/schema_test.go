package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestCheckNamesTheLineOfAWrongSetting checks a configuration with a setting that the schema of its module does not have.
func TestCheckNamesTheLineOfAWrongSetting(t *testing.T) {
	dir := t.TempDir()
	m := new(asm.Module)
	m.Memory(2, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(1<<16))
	m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
	m.Custom(abi.ManifestSection, []byte(`{"config": {"type": "object", "additionalProperties": false, "properties": {"words": {"items": {"type": "string"}}}}}`))
	if err := os.WriteFile(filepath.Join(dir, "filter.wasm"), m.Wasm(), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	text := `modules: { filter: { file: filter.wasm } }
tenants:
  default:
    chain:
      - module: filter
        config:
          words:
            - one
            - 2
          wrods: [three]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig(context.Background(), Config{File: file, Set: []string{"cache=off"}})
	if err != nil {
		t.Fatal(err)
	}
	want := file + `:9: tenants.default.chain[0]: module filter: config.words[1]: must be text, not a number
` + file + `:10: tenants.default.chain[0]: module filter: config.wrods: unknown setting: did you mean "words"?`
	if err := CheckConfig(context.Background(), cfg); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
