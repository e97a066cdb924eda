// Authenticated-room shows two ways into a room with restricted access. See README.md.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/mootchat/moot/examples/stage"
)

const (
	file      = "examples/authenticated-room/moot.yaml"
	roomToken = "open-sesame"
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
	fmt.Println("# an action, and the join hook")
	if err := byAction(s, server); err != nil {
		return err
	}
	fmt.Println("# a JSON Web Token of the application")
	return byToken(s, server)
}

func byAction(s *stage.Stage, server *stage.Server) error {
	ann, err := s.Person("ann", server, "/recipe", "")
	if err != nil {
		return err
	}
	if err := errors.Join(
		ann.MayNotJoin("secure", "members only: log in first"),
		ann.MayNotDo("login", map[string]any{"token": "a guess"}, "login: unknown token"),
	); err != nil {
		return err
	}
	answer, err := ann.Does("login", map[string]any{"token": roomToken})
	if err != nil {
		return err
	}
	fmt.Println("  role:", answer["role"])
	return errors.Join(ann.Joins("secure"), ann.Says("secure", "hello"), ann.Hears("hello"))
}

func byToken(s *stage.Stage, server *stage.Server) error {
	if _, err := s.Person("cleo", server, "/tokens", ""); err == nil {
		return errors.New("cleo came in without a token")
	}
	fmt.Println("cleo, who has no token, is not let in")
	for _, user := range []string{"bob", "dan"} {
		args := []string{"token", "-c", file, "--tenant", "tokens", "--user", user}
		if user == "bob" {
			args = append(args, "--claim", "role=member")
		}
		token, err := s.Moot(args...)
		if err != nil {
			return err
		}
		person, err := s.Person(user, server, "/tokens", token)
		if err != nil {
			return err
		}
		if user == "bob" {
			err = errors.Join(person.Joins("secure"), person.Says("secure", "hello"), person.Hears("hello"))
		} else {
			err = errors.Join(person.Joins("lobby"), person.MayNotJoin("secure", "members only: log in first"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
