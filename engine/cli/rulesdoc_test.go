package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestRulesDocumentIsTrue loads the configurations of host/README.md, serves one, and runs each command of the page against
// the server.
func TestRulesDocumentIsTrue(t *testing.T) {
	dir, root := t.TempDir(), filepath.Join("..", "..")
	var commands []string
	file := filepath.Join(dir, "moot.yaml")
	for _, s := range snippetsOf(t, filepath.Join(root, "host", "README.md")) {
		switch s.language {
		case "sh":
			commands = append(commands, strings.Fields(s.text)[1:]...)
		case "yaml":
			if _, err := config.Parse(file, []byte(s.text), os.LookupEnv); err != nil {
				t.Error(err)
			}
			guests, err := filepath.Abs(filepath.Join(root, "guests"))
			if err != nil {
				t.Fatal(err)
			}
			nodetest.Write(t, file, strings.ReplaceAll(s.text, "guests/", guests+"/")+fmt.Sprintf(
				"http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0', key: %q }\ndrain: 0s\n", adminKey))
		default:
			t.Errorf("nothing tests a snippet in %q", s.language)
		}
	}
	if got := strings.Join(commands, " "); got != "reload rollback status decisions --shadow" {
		t.Fatalf("the document's commands are %q", got)
	}
	programAt(t, dir)
	s := startServer(t, dir, "./moot", "serve", "-c", "moot.yaml")
	t.Setenv("MOOT_ADMIN_URL", "http://"+s.Admin)
	t.Setenv("MOOT_ADMIN_KEY", adminKey)
	moot := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := Run(nil, args, strings.NewReader(""), &out, &out); code != 0 {
			t.Errorf("moot %s: %d\n%s", strings.Join(args, " "), code, &out)
		}
		return out.String()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Write(t, file, strings.Replace(string(text), "darn, heck", "darn, heck, drat", 1))
	if out := moot("reload"); !strings.Contains(out, ", before ") {
		t.Error(out)
	}
	if out := moot("rollback"); !strings.Contains(out, ", before ") {
		t.Error(out)
	}
	ann, err := nodetest.Dial(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ann.Conn.Close()
	fmt.Fprint(ann.Conn, "roomAdd hall\nsay hall oh heck\n")
	if err := ann.Hear(regexp.MustCompile(`"message":"oh heck"`)); err != nil {
		t.Error(err)
	}
	if out := moot("status"); !strings.Contains(out, "stricter+shadow@") && !strings.Contains(out, "stricter@") {
		t.Error(out)
	}
	if out := moot("decisions", "--shadow"); !strings.Contains(out, "allow  deny  stricter@") {
		t.Error(out)
	}
}
