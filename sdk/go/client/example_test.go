package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mootchat/moot/sdk/go/client"
)

// Join a room, say something, and hear it.
func Example() {
	ctx := context.Background()
	heard := make(chan client.Message, 1)
	c, err := client.Connect(ctx, address, client.Options{
		OnMessage: func(m client.Message) { heard <- m },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Join(ctx, "plain"); err != nil {
		log.Fatal(err)
	}
	if err := c.Say(ctx, "plain", "hello"); err != nil {
		log.Fatal(err)
	}
	m := <-heard
	fmt.Println(m.Room, m.Text(), m.From == c.ID())
	// Output: plain hello true
}

// Rules refuse in their own words, and say when to come back.
func ExampleVerbError() {
	ctx := context.Background()
	c, err := client.Connect(ctx, address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.Join(ctx, "nowhere")
	var refusal *client.VerbError
	switch {
	case errors.As(err, &refusal) && refusal.RetryAfter > 0:
		fmt.Println("try again in", refusal.RetryAfter)
	case errors.As(err, &refusal):
		fmt.Println("refused:", refusal.Message)
	case errors.Is(err, client.ErrLost):
		fmt.Println("it may have been done")
	}
	// Output: refused: room does not exist
}

// A client that follows a room tells what it could not hear during a break.
func ExampleOptions() {
	ctx := context.Background()
	c, err := client.Connect(ctx, address, client.Options{
		Token:     func(context.Context) (string, error) { return "", nil }, // asked for before each attempt
		OnMessage: func(m client.Message) { fmt.Printf("[%s] %s: %s\n", m.Room, m.From, m.Text()) },
		OnGap:     func(room string) { fmt.Println("something was missed in", room) },
		OnLeft:    func(room string, reason error) { fmt.Println("not in", room, "any more:", reason) },
		OnState:   func(s client.Change) { fmt.Println(s.State) },
	})
	if err != nil {
		log.Fatal(err)
	}
	c.Close()
	<-c.Done() // all has been told
	// Output:
	// connecting
	// connected
	// closed
}

// Older messages come in pages.
func ExampleClient_History() {
	ctx := context.Background()
	c, err := client.Connect(ctx, address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Join(ctx, "kept"); err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		if err := c.Say(ctx, "kept", text); err != nil {
			log.Fatal(err)
		}
	}
	latest, err := c.History(ctx, "kept", client.Past{Limit: 2})
	if err != nil {
		log.Fatal(err)
	}
	before, err := c.History(ctx, "kept", client.Past{Before: latest.Before})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range append(before.Messages, latest.Messages...) {
		fmt.Println(m.Position.Offset, m.Text())
	}
	// Output:
	// 1 one
	// 2 two
	// 3 three
}
