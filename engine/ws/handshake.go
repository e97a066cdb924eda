package ws

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// The handshake of RFC 6455, section 4.2. Moot offers no subprotocols and no extensions.

// wrongHandshake is the answer to a request that is not a handshake.
type wrongHandshake struct {
	status  int
	text    string
	headers []string // names and values
}

func (h *wrongHandshake) write(w http.ResponseWriter) {
	for i := 0; i < len(h.headers); i += 2 {
		w.Header().Set(h.headers[i], h.headers[i+1])
	}
	http.Error(w, h.text, h.status)
}

// keyOf returns the key of a handshake, or what is wrong with the request.
func keyOf(r *http.Request) (key string, wrong *wrongHandshake) {
	key = r.Header.Get("Sec-Websocket-Key")
	switch {
	case !r.ProtoAtLeast(1, 1) || !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		return "", &wrongHandshake{http.StatusUpgradeRequired, "this address expects a WebSocket handshake", []string{"Connection", "Upgrade", "Upgrade", "websocket"}}
	case r.Method != http.MethodGet:
		return "", &wrongHandshake{http.StatusMethodNotAllowed, fmt.Sprintf("a WebSocket handshake needs the method GET, not %s", r.Method), []string{"Allow", http.MethodGet}}
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return "", &wrongHandshake{http.StatusBadRequest, fmt.Sprintf("unsupported Sec-WebSocket-Version %q: use 13", r.Header.Get("Sec-Websocket-Version")),
			[]string{"Sec-WebSocket-Version", "13"}}
	case len(r.Header["Sec-Websocket-Key"]) != 1 || !validKey(key):
		return "", &wrongHandshake{http.StatusBadRequest, "invalid Sec-WebSocket-Key: a handshake needs exactly one, of 16 bytes in base64", nil}
	}
	return key, nil
}

// hasToken reports whether one of the comma-separated lists contains the token. Case does
// not matter.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for t := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func validKey(key string) bool {
	var b [18]byte // DecodedLen of 24 characters
	if len(key) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(b[:], []byte(key))
	return err == nil && n == 16
}

// appendAccepted appends the answer to a handshake with this key.
func appendAccepted(dst []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	return append(dst, "\r\n\r\n"...)
}

// hijack takes the socket from net/http. ahead is the bytes that the client sent after its
// handshake.
func hijack(w http.ResponseWriter) (c net.Conn, ahead []byte, err error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, _ = rw.Reader.Peek(rw.Reader.Buffered())
	if p, ok := c.(*passedConn); ok {
		ahead = append(ahead, p.ahead...)
	}
	return c, bytes.Clone(ahead), nil
}
