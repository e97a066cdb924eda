package cli

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestGoInstall installs the program as `go install github.com/mootchat/moot@VERSION` does, from the committed files in a
// module proxy, and checks that the program runs scripts and, stripped, has at most 39 MB. `go install` refuses a module
// with replace directives.
func TestGoInstall(t *testing.T) {
	const version = "v0.0.0-install"
	root, proxy, bin := treeCopy(t), t.TempDir(), t.TempDir()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	served := filepath.Join(proxy, modulePath, "@v", version)
	nodetest.Write(t, filepath.Join(filepath.Dir(served), "list"), version+"\n")
	nodetest.Write(t, served+".info", `{"Version":"`+version+`"}`)
	nodetest.Write(t, served+".mod", string(mod))
	zipModule(t, served+".zip", root, modulePath+"@"+version+"/")

	downloads := "file://" + strings.TrimSpace(command(t, root, "go", "env", "GOMODCACHE")) + "/cache/download"
	modules := t.TempDir()
	install := exec.Command("go", "install", "-modcacherw", "-trimpath", "-ldflags=-s -w", modulePath+"@"+version)
	install.Dir = t.TempDir()
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off", "GOMODCACHE="+modules, "GONOSUMDB=*",
		"GOPROXY=file://"+proxy+","+downloads)
	if text, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, text)
	}
	if program, err := os.Stat(filepath.Join(bin, "moot")); err != nil || program.Size() > 39e6 {
		t.Errorf("the program has %d bytes, %v; want at most 39 MB: RATIONALE.md says what makes it large", program.Size(), err)
	}
	nodetest.Write(t, filepath.Join(bin, "rule.js"), `moot.declare({ reads: ["message"] }); moot.on("onSayReceive", (event) => moot.rewrite(event.message + "!"));`)
	if text := command(t, bin, "./moot", "module", "run", "rule.js", "--hook", "onSayReceive", "--message", "hello", "--timeout", "1m"); !strings.Contains(text, "hello!") {
		t.Errorf("the script answers:\n%s", text)
	}
}

// zipModule writes the zip file of the module in root, without the modules in folders of it.
func zipModule(t *testing.T, path, root, prefix string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
			return filepath.SkipDir
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.IsDir() {
				continue
			}
			name, err := filepath.Rel(root, filepath.Join(path, entry.Name()))
			if err != nil {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return err
			}
			w, err := z.Create(prefix + filepath.ToSlash(name))
			if err != nil {
				return err
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
