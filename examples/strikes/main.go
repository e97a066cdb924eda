// Strikes mutes a user after two denied messages, on all of their connections. See README.md.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/mootchat/moot/examples/stage"
)

const (
	file      = "examples/strikes/moot.yaml"
	jwtSecret = "a secret of 32 bytes or more, only for this example"
)

func main() { stage.Play(play) }

func play(s *stage.Stage) error {
	// moot token reads the secret from the same file as the server.
	if err := os.Setenv("JWT_SECRET", jwtSecret); err != nil {
		return err
	}
	server, err := s.Serve(file)
	if err != nil {
		return err
	}
	ann, err := enter(s, server, "ann", "ann")
	if err != nil {
		return err
	}
	bob, err := enter(s, server, "bob", "bob")
	if err != nil {
		return err
	}
	const blocked = "the message holds a blocked word"
	if err := errors.Join(ann.MayNotSay("hall", "darn", blocked), ann.MayNotSay("hall", "darn!", blocked)); err != nil {
		return err
	}
	fmt.Println("# that was the second strike")
	again, err := enter(s, server, "ann", "ann on her phone")
	if err != nil {
		return err
	}
	return errors.Join(
		ann.MayNotSay("hall", "sorry", "count to ten"),
		again.MayNotSay("hall", "sorry", "count to ten"),
		bob.Says("hall", "hello"),
		ann.Hears("hello"),
	)
}

// enter connects a user with a token, and joins the hall.
func enter(s *stage.Stage, server *stage.Server, user, name string) (*stage.Person, error) {
	token, err := s.Moot("token", "-c", file, "--user", user)
	if err != nil {
		return nil, err
	}
	p, err := s.Person(name, server, "", token)
	if err != nil {
		return nil, err
	}
	return p, p.Joins("hall")
}
