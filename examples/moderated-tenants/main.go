// Moderated-tenants runs two tenants with different rules on one server, and changes the rules
// of one while clients are connected. See README.md.
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
	dir, err := s.Copy("moderated-tenants", "moot.yaml", "tenants/bakery.yaml", "tenants/school.yaml")
	if err != nil {
		return err
	}
	server, err := s.Serve(filepath.Join(dir, "moot.yaml"))
	if err != nil {
		return err
	}
	ann, err := s.Person("ann of the bakery", server, "/bakery", "")
	if err != nil {
		return err
	}
	bob, err := s.Person("bob of the school", server, "/school", "")
	if err != nil {
		return err
	}
	if err := errors.Join(
		ann.Joins("counter"),
		ann.Says("counter", "darn, no buns"),
		ann.Hears("****, no buns"),
		ann.MayNotJoin("class", "room does not exist"),
		bob.Joins("class"),
		bob.Hears("somebody came"),
		bob.MayNotSay("class", "what the heck", "the message holds a blocked word"),
		bob.MayNotJoin("staff", "members only: log in first"),
	); err != nil {
		return err
	}
	return changed(s, server, dir, ann, bob)
}

// changed adds a blocked word to the rules of the bakery, while both clients stay connected.
func changed(s *stage.Stage, server *stage.Server, dir string, ann, bob *stage.Person) error {
	fmt.Println("# the bakery blocks buns, too")
	file := filepath.Join(dir, "tenants/bakery.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "[darn]", "[darn, buns]", 1)), 0o600); err != nil {
		return err
	}
	if err := s.Reload(server); err != nil {
		return err
	}
	return errors.Join(
		ann.Says("counter", "darn, no buns"),
		ann.Hears("****, no ****"),
		bob.Says("class", "buns"),
		bob.Hears("buns"),
	)
}
