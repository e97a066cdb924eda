package chat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mootchat/moot/sdk/go/client"
	"golang.org/x/term"
)

// Options of a chat.
type Options struct {
	URL   string   // ws://, wss://, http:// or https://; without a path, /ws
	Token string   // a JSON Web Token; "" for none
	Rooms []string // joined at once
	In    io.Reader
	Out   io.Writer
}

// Run chats until the user quits, the input ends, ctx ends, or the server closes the connection for good, which is an
// error. On a terminal it uses the full screen; otherwise it reads and prints lines. It reconnects after a lost
// connection, and returns an error if the first attempt to connect fails.
func Run(ctx context.Context, o Options) error {
	s, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	if in, out := terminalOf(o.In), terminalOf(o.Out); in != nil && out != nil {
		return s.screen(ctx, o.Rooms, in, out)
	}
	return s.lines(ctx, o)
}

// connect returns a session with a connected client. The caller must read s.events: the client waits for it.
func connect(ctx context.Context, o Options) (*session, error) {
	dialing, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s := newSession()
	options := s.handlers(giveUp)
	if o.Token != "" {
		options.Token = func(context.Context) (string, error) { return o.Token, nil }
	}
	c, err := client.Connect(dialing, o.URL, options)
	if err != nil {
		s.stop()
		if ctx.Err() == nil && context.Cause(dialing) != nil {
			err = context.Cause(dialing)
		}
		return nil, fmt.Errorf("cannot connect to %s: %w", o.URL, err)
	}
	s.server, s.closer = c, c
	return s, nil
}

func terminalOf(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// ending returns the error that ended the client; nil for a normal close.
func ending(err error) error {
	var c *client.ClosedError
	if errors.As(err, &c) && c.Code == 1000 {
		return nil
	}
	return err
}

// lines runs the chat without a screen. It sends each line after the answer to the previous one. At the end of the input
// it closes the connection and prints the remaining events.
func (s *session) lines(ctx context.Context, o Options) error {
	show := func(lines []line) (err error) {
		for _, l := range lines {
			_, err = fmt.Fprintln(o.Out, l)
		}
		return err
	}
	for _, room := range o.Rooms {
		if err := show(s.join(ctx, room)); err != nil {
			return err
		}
	}
	typed := scan(o.In, s.stopped)
	for {
		var lines []line
		select {
		case text, ok := <-typed:
			var quit bool
			if lines, quit = s.typed(ctx, text); quit || !ok {
				typed = nil
				s.closer.Close()
			}
		case l := <-s.events:
			lines = []line{l}
		case <-s.closer.Done():
			return ending(s.closer.Err())
		case <-ctx.Done():
			return nil
		}
		if err := show(lines); err != nil {
			return err
		}
	}
}

// scan returns the lines of in. Its goroutine ends with the input, or at the first line after stop is closed, because a read
// of stdin cannot be interrupted.
func scan(in io.Reader, stop <-chan struct{}) <-chan string {
	typed := make(chan string)
	go func() {
		defer close(typed)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case typed <- s.Text():
			case <-stop:
				return
			}
		}
	}()
	return typed
}
