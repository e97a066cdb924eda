package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Limits of a reply of Redis. go-redis allocates the memory that the header of a string or an array
// claims before the bytes arrive, and reads nested arrays by recursion. Without the limits a damaged or hostile
// server could exhaust the memory or the stack of the process. The replies to commands of a node need at most a
// tenth of each limit.
const (
	maxReplyString   = 32 << 20 // bytes of one string
	maxReplyElements = 1 << 20  // elements of all arrays of one reply together
	maxReplyLine     = 64 << 10 // bytes of a status or an error
	maxReplyNumber   = 24       // bytes of a number or a length
	maxReplyDepth    = 16       // levels of nested arrays
)

// errReply is the error that a checkedConn wraps. go-redis takes it for a failure of the connection, and closes the
// connection.
var errReply = errors.New("redis sent a reply that is not valid")

// dialChecked returns a dialer whose connections check the replies. base connects to a server; nil: over
// TCP, or TLS if that is configured.
func (c *Config) dialChecked() dialer {
	base := c.dialer
	if base == nil {
		base = redis.NewDialer(&redis.Options{DialTimeout: dialTimeout, TLSConfig: c.TLS})
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := base(ctx, network, address)
		if err != nil {
			return nil, err
		}
		checked := &checkedConn{Conn: conn}
		if socket, ok := conn.(syscall.Conn); ok {
			return checkedSocket{checked, socket}, nil
		}
		return checked, nil
	}
}

// checkedConn is a connection to Redis. Its Read fails at the header of a reply that exceeds a
// limit, before go-redis receives the whole header.
type checkedConn struct {
	net.Conn
	replies replies
}

// Read implements net.Conn.
func (c *checkedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if wrong := c.replies.check(p[:n]); wrong != nil {
		return 0, wrong
	}
	return n, err
}

// checkedSocket is a checkedConn whose socket go-redis can test before it sends a command.
type checkedSocket struct {
	*checkedConn
	syscall.Conn
}

// replies follows the replies of a connection in RESP2 or RESP3, piece by piece. go-redis speaks RESP3 with sentinels.
type replies struct {
	wrong    error
	kind     byte   // first byte of the line that has begun; 0: none
	line     int    // bytes of that line
	number   []byte // of that line, if it is a length
	skip     int    // bytes of a string and its \r\n that have not arrived
	elements int    // number of elements that the arrays of the reply claim
	open     []int  // for each array that has not ended, from the outermost: the number of elements that are missing
}

// check checks b, the next bytes of the connection. After an error it returns the same error again.
func (r *replies) check(b []byte) error {
	for len(b) > 0 && r.wrong == nil {
		switch {
		case r.skip > 0:
			n := min(r.skip, len(b))
			r.skip -= n
			b = b[n:]
			if r.skip == 0 {
				r.end()
			}
		case r.kind == 0:
			r.begin(b[0])
			b = b[1:]
		default:
			b = r.more(b)
		}
	}
	return r.wrong
}

// begin begins a line with its first byte.
func (r *replies) begin(kind byte) {
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(', '$', '!', '=', '*', '~', '>', '%':
		r.kind, r.line, r.number = kind, 0, r.number[:0]
	default:
		r.wrong = fmt.Errorf("%w: it begins with %q", errReply, kind)
	}
}

// more checks the next bytes of a line, and returns the bytes after the line.
func (r *replies) more(b []byte) (rest []byte) {
	end := bytes.IndexByte(b, '\n') + 1
	part := b[:end]
	if end == 0 {
		part = b
	}
	limit := maxReplyNumber
	if r.kind == '+' || r.kind == '-' || r.kind == '(' {
		limit = maxReplyLine
	}
	if r.line += len(part); r.line > limit {
		r.wrong = fmt.Errorf("%w: a line is longer than %d bytes", errReply, limit)
		return nil
	}
	if r.isString() || r.isArray() {
		r.number = append(r.number, part...)
	}
	if end > 0 {
		r.endLine()
	}
	return b[len(part):]
}

func (r *replies) endLine() {
	if !r.isString() && !r.isArray() {
		r.end()
		return
	}
	n, err := strconv.Atoi(string(bytes.TrimSuffix(r.number, []byte("\r\n"))))
	switch {
	case err != nil || n < -1:
		r.wrong = fmt.Errorf("%w: %.30q is not a length", errReply, r.number)
	case n == -1, n == 0 && r.isArray():
		r.end()
	case r.isString() && n > maxReplyString:
		r.wrong = fmt.Errorf("%w: it claims a string of %d bytes, more than %d", errReply, n, maxReplyString)
	case r.isString():
		r.kind, r.skip = 0, n+len("\r\n")
	case n > maxReplyElements, r.values(n) > maxReplyElements-r.elements:
		r.wrong = fmt.Errorf("%w: it claims more than %d elements", errReply, maxReplyElements)
	case len(r.open) == maxReplyDepth:
		r.wrong = fmt.Errorf("%w: its arrays are nested deeper than %d", errReply, maxReplyDepth)
	default:
		n = r.values(n)
		r.kind, r.elements, r.open = 0, r.elements+n, append(r.open, n)
	}
}

// isString reports whether the line has the length of a string, of an error or of a verbatim string.
func (r *replies) isString() bool { return r.kind == '$' || r.kind == '!' || r.kind == '=' }

// isArray reports whether the line has the length of an array, a set, a push message or a map.
func (r *replies) isArray() bool {
	return r.kind == '*' || r.kind == '~' || r.kind == '>' || r.kind == '%'
}

// values returns the number of values of an array with n elements; an element of a map is a key and a value.
func (r *replies) values(n int) int {
	if r.kind == '%' {
		return 2 * n
	}
	return n
}

// end ends a value, and each array of which it is the last element.
func (r *replies) end() {
	r.kind = 0
	for last := len(r.open) - 1; last >= 0; last-- {
		if r.open[last]--; r.open[last] > 0 {
			return
		}
		r.open = r.open[:last]
	}
	r.elements = 0
}
