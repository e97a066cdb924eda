package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// programAt creates links to the program moot and the folder guests in a folder.
func programAt(t *testing.T, dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	guests, err := filepath.Abs("../../guests")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"moot": self, "guests": guests} { // testscript.Main runs the command of this name
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThePageOfTokensIsTrue runs the commands and loads the configuration of engine/auth/README.md.
func TestThePageOfTokensIsTrue(t *testing.T) {
	dir, out := t.TempDir(), ""
	programAt(t, dir)
	for _, s := range snippetsOf(t, "../../engine/auth/README.md") {
		switch s.language {
		case "yaml":
			nodetest.Write(t, filepath.Join(dir, "jwt.yaml"), s.text)
		case "sh":
			out = command(t, dir, "sh", "-c", s.text)
		case "json":
			if !json.Valid([]byte(s.text)) {
				t.Errorf("not JSON: %s", s.text)
			}
		default:
			t.Errorf("nothing tests a snippet in %q", s.language)
		}
	}
	member := strings.TrimSpace(out)
	guest := strings.TrimSpace(command(t, dir, "./moot", "token", "-c", "jwt.yaml", "--user", "bob"))
	expired := strings.TrimSpace(command(t, dir, "./moot", "token", "-c", "jwt.yaml", "--ttl=-1m"))
	s := startServer(t, dir, "./moot", "serve", "-c", "jwt.yaml", "--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=127.0.0.1:0",
		"--set", "admin.listen=127.0.0.1:0", "--set", "drain=0s", "--set", "log.level=debug")
	for token, want := range map[string]string{
		member: "[secure] you: hello", guest: "! join secure: members only: log in first",
		"": "token missing (3502)", expired: "token expired (3502)", "nonsense": "token is malformed (3502)",
	} {
		if got := chatAs(dir, s.HTTP, token); !strings.Contains(got, want) {
			t.Errorf("with the token %q: want %q in\n%s", token, want, got)
		}
	}
	speaker, err := nodetest.Dial(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer speaker.Conn.Close()
	if _, err := speaker.Conn.Write([]byte("auth " + member + "\r\n")); err != nil {
		t.Fatal(err)
	}
	if !speaker.Lines.Scan() || !strings.Contains(speaker.Lines.Text(), `"welcome"`) {
		t.Errorf("over TCP: %q, %v", speaker.Lines.Text(), speaker.Lines.Err())
	}
	log, err := s.Terminate()
	if err != nil {
		t.Error(err)
	}
	for _, token := range []string{member, guest, expired} {
		if strings.Contains(log, strings.Split(token, ".")[1]) {
			t.Errorf("a token is in the log:\n%s", log)
		}
	}
}

// chatAs joins the room secure and sends a message.
func chatAs(dir, address, token string) string {
	cmd := exec.Command("./moot", "chat", "ws://"+address, "--room", "secure")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("/room secure\nhello\n")
	cmd.Env = append(os.Environ(), "MOOT_TOKEN="+token)
	out, _ := cmd.CombinedOutput() // the caller checks the output
	return string(out)
}
