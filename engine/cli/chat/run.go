package chat

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"sync"

	"github.com/coder/websocket"
	"golang.org/x/term"
)

// Options of a chat.
type Options struct {
	URL   string   // ws://, wss://, http:// or https://; without a path, /ws
	Rooms []string // joined at once
	In    io.Reader
	Out   io.Writer
}

// mostBytes is the largest frame taken from a server.
const mostBytes = 1 << 20

// Run talks until the person leaves, the input ends, the server closes, or ctx
// ends; it returns nil for the first two and the last. On a terminal it fills
// the screen; otherwise it reads and prints lines, and when the input ends it
// waits for the answers to what was asked.
func Run(ctx context.Context, o Options) error {
	address, err := wsURL(o.URL)
	if err != nil {
		return err
	}
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return fmt.Errorf("%s cannot be reached: %w", o.URL, err)
	}
	conn.SetReadLimit(mostBytes)
	defer conn.CloseNow()

	l := &link{conn: conn, session: newSession(), frames: make(chan []byte), closed: make(chan error, 1)}
	reading, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() { l.read(reading) })
	defer reader.Wait()
	defer stop()

	if err := l.begin(ctx, o.Rooms); err != nil {
		return err
	}
	if in, out := terminalOf(o.In), terminalOf(o.Out); in != nil && out != nil {
		return l.screen(ctx, in, out)
	}
	return l.lines(ctx, o.In, o.Out)
}

// wsURL is the address to dial for what the person wrote.
func wsURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%q is not a URL: %w", address, err)
	}
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) || u.Host == "" {
		return "", fmt.Errorf("%q is not a URL such as ws://localhost:8080", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u.String(), nil
}

func terminalOf(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// link is a session with its socket.
type link struct {
	conn    *websocket.Conn
	session *session
	frames  chan []byte
	closed  chan error // why reading ended
}

func (l *link) read(ctx context.Context) {
	for {
		_, b, err := l.conn.Read(ctx)
		if err != nil {
			l.closed <- closeReason(err)
			return
		}
		select {
		case l.frames <- b:
		case <-ctx.Done():
			return
		}
	}
}

// closeReason is why the server closed, in words; nil for an end that was asked
// for.
func closeReason(err error) error {
	var c websocket.CloseError
	if !errors.As(err, &c) {
		return fmt.Errorf("connection lost: %w", err)
	}
	if c.Code == websocket.StatusNormalClosure {
		return nil
	}
	return fmt.Errorf("the server closed: %s (%d)", c.Reason, c.Code)
}

func (l *link) begin(ctx context.Context, rooms []string) error {
	requests := []json.RawMessage{l.session.ask(question{verb: "detailsView"}, nil)}
	for _, room := range rooms {
		requests = append(requests, l.session.ask(question{verb: "roomAdd", room: room}, nil))
	}
	return l.send(ctx, requests)
}

func (l *link) send(ctx context.Context, requests []json.RawMessage) error {
	for _, r := range requests {
		if err := l.conn.Write(ctx, websocket.MessageText, r); err != nil {
			return fmt.Errorf("connection lost: %w", err)
		}
	}
	return nil
}

// lines is the chat without a screen. Each line waits for the answers to the one
// before, as a person would; at the end it quits and shows what still comes.
func (l *link) lines(ctx context.Context, in io.Reader, out io.Writer) error {
	stop := make(chan struct{})
	defer close(stop)
	typed := scan(in, stop)
	for {
		next := typed
		if len(l.session.asked) > 0 {
			next = nil
		}
		var show []line
		select {
		case text, ok := <-next:
			if !ok {
				text, typed = "/quit", nil
			}
			requests, lines, quit := l.session.typed(text)
			if quit {
				typed = nil
			}
			if err := l.send(ctx, requests); err != nil {
				return err
			}
			show = lines
		case b := <-l.frames:
			show = l.session.heard(b)
		case err := <-l.closed:
			return err
		case <-ctx.Done():
			return nil
		}
		for _, line := range show {
			if _, err := fmt.Fprintln(out, line); err != nil {
				return err
			}
		}
	}
}

// scan gives the lines of in. Its goroutine ends with the input, or with the
// first line after stop: a read of stdin cannot be ended from here.
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
