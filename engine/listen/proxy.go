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

// headerTimeout is the time limit for reading a PROXY header.
const headerTimeout = 5 * time.Second

// proxyListener takes the addresses of clients from the PROXY headers of trusted proxies.
type proxyListener struct {
	net.Listener
	proxies []netip.Prefix
}

// Accept implements net.Listener.
func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.trusts(c.RemoteAddr()) {
		return c, err
	}
	return &proxyConn{Conn: c}, nil
}

func (l *proxyListener) trusts(addr net.Addr) bool {
	peer, err := netip.ParseAddrPort(addr.String())
	return err == nil && slices.ContainsFunc(l.proxies, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
}

// proxyConn is a connection from a proxy.
type proxyConn struct {
	net.Conn
	once   sync.Once
	remote net.Addr
	err    error
}

// NetConn returns the connection of the proxy. Call it after the header was read.
func (c *proxyConn) NetConn() net.Conn { return c.Conn }

// RemoteAddr returns the address of the client. It returns the address of the proxy if
// the connection is a health check of the proxy, or if the header is not valid. In the
// latter case Read fails.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.once.Do(c.header)
	return c.remote
}

// Read implements net.Conn.
func (c *proxyConn) Read(p []byte) (int, error) {
	if c.once.Do(c.header); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// CloseWrite closes the writing side, as net.TCPConn does.
func (c *proxyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *proxyConn) header() {
	c.remote = c.Conn.RemoteAddr()
	c.Conn.SetReadDeadline(time.Now().Add(headerTimeout))
	defer c.Conn.SetReadDeadline(time.Time{})
	h, err := readHeader(c.Conn)
	if err != nil {
		c.err = fmt.Errorf("proxy %s sent no valid PROXY header: %w", c.remote, err)
		return
	}
	if source, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() {
		c.remote = source
	}
}

// readHeader reads the header and no byte after it, so that the connection needs no
// buffer.
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

// maxLine is the length of the longest header of version 1, with its end.
const maxLine = 107

func restOfLine(r io.Reader, text []byte) ([]byte, error) {
	for text[len(text)-1] != '\n' && len(text) < maxLine {
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
