package listen

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTime is how long a proxy may take to say whose connection it is.
const headerTime = 5 * time.Second

// behindProxies reads who connects from what proxies say of it.
type behindProxies struct {
	net.Listener
	proxies []netip.Prefix
}

// Accept is net.Listener's.
func (l *behindProxies) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.trusts(c.RemoteAddr()) {
		return c, err
	}
	return &proxied{Conn: c}, nil
}

func (l *behindProxies) trusts(addr net.Addr) bool {
	peer, err := netip.ParseAddrPort(addr.String())
	return err == nil && slices.ContainsFunc(l.proxies, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
}

// proxied is a connection that a proxy has made for somebody.
type proxied struct {
	net.Conn
	once   sync.Once
	remote net.Addr
	err    error
}

// NetConn is the connection without its header, which has been read.
func (c *proxied) NetConn() net.Conn { return c.Conn }

// RemoteAddr is whose connection it is; the proxy's own address where that checks
// by it whether the node is alive, or has said nothing that can be understood: then
// Read fails.
func (c *proxied) RemoteAddr() net.Addr {
	c.once.Do(c.header)
	return c.remote
}

// Read is net.Conn's.
func (c *proxied) Read(p []byte) (int, error) {
	if c.once.Do(c.header); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// CloseWrite is net.TCPConn's.
func (c *proxied) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *proxied) header() {
	c.remote = c.Conn.RemoteAddr()
	c.Conn.SetReadDeadline(time.Now().Add(headerTime))
	defer c.Conn.SetReadDeadline(time.Time{})
	h, err := readHeader(c.Conn)
	if err != nil {
		c.err = fmt.Errorf("the proxy %s sent no PROXY header: %w", c.remote, err)
		return
	}
	if source, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() {
		c.remote = source
	}
}

// readHeader reads the header and no more: what follows is the connection's own,
// and needs no buffer between.
func readHeader(r io.Reader) (*proxyproto.Header, error) {
	first := make([]byte, 1, 128)
	if _, err := io.ReadFull(r, first); err != nil {
		return nil, err
	}
	rest := restOfLine
	if first[0] == proxyproto.SIGV2[0] {
		rest = restOfBlock
	}
	text, err := rest(r, first)
	if err != nil {
		return nil, err
	}
	return proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
}

// longestLine is that of a header of version 1, with its end.
const longestLine = 107

func restOfLine(r io.Reader, text []byte) ([]byte, error) {
	for text[len(text)-1] != '\n' && len(text) < longestLine {
		text = append(text, 0)
		if _, err := io.ReadFull(r, text[len(text)-1:]); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// restOfBlock reads a header of version 2: 16 bytes, of which the last two are the
// length of what follows.
func restOfBlock(r io.Reader, text []byte) ([]byte, error) {
	text = text[:16]
	if _, err := io.ReadFull(r, text[1:]); err != nil {
		return nil, err
	}
	block := make([]byte, binary.BigEndian.Uint16(text[14:]))
	_, err := io.ReadFull(r, block)
	return append(text, block...), err
}
