package ws

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mootchat/moot/engine/stream"
)

// The handshake of RFC 6455, section 4.2. Moot offers no subprotocols and no extensions.

// checkHandshake returns the key of a handshake. If the request is not a handshake, it
// returns the status and the error for the client.
func checkHandshake(h http.Header, r *http.Request) (key string, status int, err error) {
	key = r.Header.Get("Sec-Websocket-Key")
	switch {
	case !r.ProtoAtLeast(1, 1) || !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		return "", http.StatusUpgradeRequired, errors.New("this address expects a WebSocket handshake")
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		return "", http.StatusMethodNotAllowed, fmt.Errorf("a WebSocket handshake needs the method GET, not %s", r.Method)
	case r.Header.Get("Sec-Websocket-Version") != "13":
		h.Set("Sec-WebSocket-Version", "13")
		return "", http.StatusBadRequest, fmt.Errorf("unsupported Sec-WebSocket-Version %q: use 13", r.Header.Get("Sec-Websocket-Version"))
	case len(r.Header["Sec-Websocket-Key"]) != 1 || !validKey(key):
		return "", http.StatusBadRequest, errors.New("invalid Sec-WebSocket-Key: a handshake needs exactly one, of 16 bytes in base64")
	}
	return key, 0, nil
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

// accept takes the socket from net/http and answers a handshake with this key. After an
// error the socket is closed.
func accept(w http.ResponseWriter, key string) (*stream.Stream, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	// The write does not wait: it is the first one, and the socket's buffer is empty.
	if _, err := c.Write(appendAccepted(make([]byte, 0, 192), key)); err != nil {
		c.Close()
		return nil, err
	}
	// net/http's buffer may contain bytes that the client sent after its handshake.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return stream.New(c, bytes.Clone(ahead)), nil
}
