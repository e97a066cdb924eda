// Scored runs a chat whose messages a small HTTP service scores. A moderator decides about those of which it is unsure. See README.md.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/mootchat/moot/examples/stage"
)

const (
	file = "examples/scored/moot.yaml"
	key  = "only for this example" // of the server API
)

func main() { stage.Play(play) }

func play(s *stage.Stage) error {
	scorer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: http.HandlerFunc(score)}
	go func() { _ = web.Serve(scorer) }() // until Close
	defer web.Close()
	server, err := s.Serve(file, fmt.Sprintf("PORT=%d", scorer.Addr().(*net.TCPAddr).Port), "MOOT_ADMIN_KEY="+key)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"MOOT_ADMIN_URL": server.Admin, "MOOT_ADMIN_KEY": key} { // for the commands of the desk
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ann, err := s.Person("ann", server, "", "")
	if err != nil {
		return err
	}
	bob, err := s.Person("bob", server, "", "")
	if err != nil {
		return err
	}
	if err := errors.Join(
		ann.Joins("hall"), bob.Joins("hall"),
		ann.Says("hall", "hello, all"), bob.Hears("hello, all"),
		ann.MayNotSay("hall", "you idiot", "that was rude"),
		ann.Says("hall", "a stupid question"),
	); err != nil {
		return err
	}
	if err := decide(s); err != nil {
		return err
	}
	if err := bob.Hears("a stupid question"); err != nil {
		return err
	}
	fmt.Println("# the service is down")
	if err := errors.Join(web.Close(), ann.Says("hall", "anybody there?"), decide(s)); err != nil {
		return err
	}
	return bob.Hears("anybody there?")
}

// decide releases the messages that wait, as a moderator would at the desk of the console.
func decide(s *stage.Stage) error {
	out, err := s.Moot("held", "list", "--json")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		var held struct{ ID, Reason, Message string }
		if err := json.Unmarshal([]byte(line), &held); err != nil {
			return err
		}
		fmt.Printf("a moderator sees: %s (%s)\n", held.Message, held.Reason)
		if _, err := s.Moot("held", "release", held.ID); err != nil {
			return err
		}
		fmt.Println("a moderator releases it")
	}
	return nil
}
