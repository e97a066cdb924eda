package stage

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/mootchat/moot/sdk/go/client"
)

// Person is a client with a name that the example prints. It must not be used concurrently.
type Person struct {
	Name string

	ctx    context.Context
	client *client.Client
	heard  chan client.Message
}

// Person connects a client to a tenant's path, such as "/acme", or to "", with a token
// unless it is "". The client is closed at the end of the example.
func (s *Stage) Person(name string, at *Server, path, token string) (*Person, error) {
	p := &Person{Name: name, ctx: s.ctx, heard: make(chan client.Message, 1000)}
	options := client.Options{OnMessage: func(m client.Message) { p.heard <- m }}
	if token != "" {
		options.Token = func(context.Context) (string, error) { return token, nil }
	}
	var err error
	if p.client, err = client.Connect(s.ctx, at.URL+path+"/ws", options); err != nil {
		return nil, fmt.Errorf("%s connects: %w", name, err)
	}
	s.ends = append(s.ends, p.client.Close)
	return p, nil
}

// ID returns the id of the connection.
func (p *Person) ID() string { return p.client.ID() }

// Joins joins a room and prints it.
func (p *Person) Joins(room string) error {
	if err := p.client.Join(p.ctx, room); err != nil {
		return fmt.Errorf("%s joins %s: %w", p.Name, room, err)
	}
	fmt.Printf("%s joins %s\n", p.Name, room)
	return nil
}

// MayNotJoin checks that joining the room is refused with this reason, and prints it.
func (p *Person) MayNotJoin(room, reason string) error {
	return p.refused("joins "+room, reason, p.client.Join(p.ctx, room))
}

// Says sends a message and prints it.
func (p *Person) Says(room, text string) error {
	if _, err := p.client.Say(p.ctx, room, text); err != nil {
		return fmt.Errorf("%s says %q: %w", p.Name, text, err)
	}
	fmt.Printf("%s says: %s\n", p.Name, text)
	return nil
}

// MayNotSay checks that sending the message is refused with this reason, and prints it.
func (p *Person) MayNotSay(room, text, reason string) error {
	_, err := p.client.Say(p.ctx, room, text)
	return p.refused("says: "+text, reason, err)
}

func (p *Person) refused(what, reason string, err error) error {
	var refusal *client.VerbError
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, reason) {
		return fmt.Errorf("%s %s: %v, want the refusal %q", p.Name, what, err, reason)
	}
	fmt.Printf("%s %s -> refused: %s\n", p.Name, what, timeOfDay.ReplaceAllString(refusal.Message, "TIME"))
	return nil
}

// timeOfDay is a time in a refusal, which differs between runs.
var timeOfDay = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`)

// Does runs an action and prints its name. It returns the fields of the answer, as JSON.
func (p *Person) Does(action string, params map[string]any) (map[string]string, error) {
	fields, err := p.client.Action(p.ctx, action, params)
	if err != nil {
		return nil, fmt.Errorf("%s does %s: %w", p.Name, action, err)
	}
	fmt.Printf("%s does %s\n", p.Name, action)
	all := make(map[string]string, len(fields))
	for name, value := range fields {
		all[name] = string(value)
	}
	return all, nil
}

// MayNotDo checks that the action fails with this reason, and prints it.
func (p *Person) MayNotDo(action string, params map[string]any, reason string) error {
	_, err := p.client.Action(p.ctx, action, params)
	return p.refused("does "+action, reason, err)
}

// Hears waits for a message with this text and prints it. It ignores messages before it.
func (p *Person) Hears(text string) error {
	if err := p.Await(func(heard string) bool { return heard == text }); err != nil {
		return fmt.Errorf("%s should hear %q: %w", p.Name, text, err)
	}
	fmt.Printf("%s hears: %s\n", p.Name, text)
	return nil
}

// HearsFrom is like Hears, for a message of a user in a room that names users.
func (p *Person) HearsFrom(user, text string) error {
	if err := p.await(func(m client.Message) bool { return m.User == user && m.Text() == text }); err != nil {
		return fmt.Errorf("%s should hear %q from %s: %w", p.Name, text, user, err)
	}
	fmt.Printf("%s hears from %s: %s\n", p.Name, user, text)
	return nil
}

// Await waits for a message that fits.
func (p *Person) Await(good func(text string) bool) error {
	return p.await(func(m client.Message) bool { return good(m.Text()) })
}

func (p *Person) await(good func(client.Message) bool) error {
	for {
		select {
		case m := <-p.heard:
			if good(m) {
				return nil
			}
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-p.client.Done():
			return p.client.Err()
		}
	}
}

// Members returns the number of members of a room on all nodes.
func (p *Person) Members(room string) (int, error) {
	r, err := p.client.View(p.ctx, room, client.Page{})
	return r.MembersCount, err
}

// Users returns the users in a room that names users, with the number of their connections there.
func (p *Person) Users(room string) (map[string]int, error) {
	r, err := p.client.View(p.ctx, room, client.Page{})
	return r.Users, err
}
