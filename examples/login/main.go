// Login lets a rule name the users of connections that have no token. See README.md.
package main

import (
	"errors"
	"fmt"

	"github.com/mootchat/moot/examples/stage"
)

func main() { stage.Play(play) }

const action = "login"

func play(s *stage.Stage) error {
	server, err := s.Serve("examples/login/moot.yaml")
	if err != nil {
		return err
	}
	var people [3]*stage.Person
	for i, name := range []string{"the laptop", "the phone", "the tablet"} {
		if people[i], err = s.Person(name, server, "", ""); err != nil {
			return err
		}
		if err := people[i].Joins("hall"); err != nil {
			return err
		}
	}
	laptop, phone, tablet := people[0], people[1], people[2]
	err = errors.Join(
		laptop.MayNotSay("hall", "hello", "log in first"),
		laptop.MayNotDo(action, code("guessed"), "this code is not known"),
		logsIn(laptop, "apple-tree"),
		laptop.Says("hall", "hello"),
		tablet.HearsFrom("ann", "hello"),
		logsIn(phone, "apple-tree"),
		logsIn(tablet, "blue-door"),
		tablet.MayNotDo(action, code("apple-tree"), "you are bob"),
		phone.Says("hall", "it is me again"),
		tablet.HearsFrom("ann", "it is me again"),
	)
	if err != nil {
		return err
	}
	users, err := tablet.Users("hall")
	if err != nil {
		return err
	}
	fmt.Printf("the hall has %d users: ann with %d connections, bob with %d\n", len(users), users["ann"], users["bob"])
	return nil
}

func code(text string) map[string]any { return map[string]any{"code": text} }

// logsIn runs the action with a code.
func logsIn(p *stage.Person, text string) error {
	_, err := p.Does(action, code(text))
	return err
}
