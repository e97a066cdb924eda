package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mootchat/moot/sdk/go/client"
)

// Join a room, send a message, and receive it.
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
	if _, err := c.Say(ctx, "plain", "hello"); err != nil {
		log.Fatal(err)
	}
	m := <-heard
	fmt.Println(m.Room, m.Text(), m.From == c.ID())
	// Output: plain hello true
}

// Distinguish the reasons for which a request fails.
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
		fmt.Println("the outcome is unknown")
	}
	// Output: refused: room does not exist
}

// Handle the events of a client that may lose its connection.
func ExampleOptions() {
	ctx := context.Background()
	c, err := client.Connect(ctx, address, client.Options{
		Token:     func(context.Context) (string, error) { return "", nil }, // called before each attempt
		OnMessage: func(m client.Message) { fmt.Printf("[%s] %s: %s\n", m.Room, m.From, m.Text()) },
		OnGap:     func(room string) { fmt.Println("messages are missing in", room) },
		OnLeft:    func(room string, reason error) { fmt.Println("could not rejoin", room, reason) },
		OnState:   func(s client.StateChange) { fmt.Println(s.State) },
	})
	if err != nil {
		log.Fatal(err)
	}
	c.Close()
	<-c.Done() // all handlers have returned
	// Output:
	// connecting
	// connected
	// closed
}

// Read the history of a room in pages.
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
		if _, err := c.Say(ctx, "kept", text); err != nil {
			log.Fatal(err)
		}
	}
	latest, err := c.History(ctx, "kept", client.HistoryPage{Limit: 2})
	if err != nil {
		log.Fatal(err)
	}
	before, err := c.History(ctx, "kept", client.HistoryPage{Before: latest.Before})
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
