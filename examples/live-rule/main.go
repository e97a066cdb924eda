// Live-rule edits a rule while a client sends messages, first correctly and then with a mistake. See README.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mootchat/moot/examples/stage"
)

func main() { stage.Play(play) }

func play(s *stage.Stage) error {
	dir, err := s.Copy("live-rule", "moot.yaml", "rule.js")
	if err != nil {
		return err
	}
	rule := filepath.Join(dir, "rule.js")
	server, err := s.Serve(filepath.Join(dir, "moot.yaml"))
	if err != nil {
		return err
	}
	ann, err := s.Person("ann", server, "", "")
	if err != nil {
		return err
	}
	if err := errors.Join(ann.Joins("hall"), ann.Says("hall", "hello"), ann.Hears("HELLO")); err != nil {
		return err
	}
	fmt.Println("# the rule shouts louder")
	if err := s.Logs(server, "msg=reload ", func() error { return edit(rule, `.toUpperCase()`, `.toUpperCase() + "!"`) }); err != nil {
		return err
	}
	if err := errors.Join(ann.Says("hall", "hello"), ann.Hears("HELLO!")); err != nil {
		return err
	}
	fmt.Println("# somebody forgets a quote, and saves")
	if err := s.Logs(server, "rule.js:4:", func() error { return edit(rule, `"!"`, `"!`) }); err != nil {
		return err
	}
	fmt.Println("the server names the line, and goes on by the rule before")
	return errors.Join(ann.Says("hall", "hello again"), ann.Hears("HELLO AGAIN!"))
}

// edit changes the file of the rule as an editor would.
func edit(file, old, now string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strings.Replace(string(text), old, now, 1)), 0o600)
}
