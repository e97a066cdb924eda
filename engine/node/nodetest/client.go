package nodetest

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"time"
)

// Client is a chat client over TCP. Only one goroutine may use it.
type Client struct {
	Conn  net.Conn
	Lines *bufio.Scanner // the lines from the server
}

// Dial connects a client. All operations of the client fail after Deadline.
func Dial(address string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", address, Deadline)
	if err != nil {
		return nil, err
	}
	return NewClient(conn)
}

// NewClient returns a client that uses a connection.
func NewClient(conn net.Conn) (*Client, error) {
	if err := conn.SetDeadline(time.Now().Add(Deadline)); err != nil {
		return nil, err
	}
	return &Client{conn, bufio.NewScanner(conn)}, nil
}

// Hear reads until a line matches the pattern.
func (c *Client) Hear(pattern *regexp.Regexp) error {
	for c.Lines.Scan() {
		if pattern.MatchString(c.Lines.Text()) {
			return nil
		}
	}
	return fmt.Errorf("no line matches %s: %v", pattern, c.Lines.Err())
}
