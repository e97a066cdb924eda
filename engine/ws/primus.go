package ws

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Primus is the library that ActionHero's clients use. It sends a few JSON strings
// besides the requests.

// primusClose is the message after which a client does not reconnect by itself.
var primusClose = wire.FrameOf([]byte(`"primus::server::close"`))

// primusPing returns the heartbeat for the time now.
func primusPing(now time.Time) *wire.Frame {
	return wire.NewFrame(0, func(dst []byte) []byte {
		dst = strconv.AppendInt(append(dst, `"primus::ping::`...), now.UnixMilli(), 10)
		return append(dst, '"')
	})
}

// answerPrimus answers a message that is a string of Primus. It returns false for other
// messages.
func (c *conn) answerPrimus(text []byte) bool {
	const pong, id = `"primus::pong::`, `"primus::id::"`
	switch {
	case bytes.HasPrefix(text, []byte(pong)):
		return true
	case string(text) == id:
		c.peer.Send(wire.FrameOf([]byte(`"primus::id::` + c.peer.ID() + `"`)))
		return true
	}
	return false
}

// primusSpec is the path of the request that serveSpec answers.
const primusSpec = "/primus/spec"

// serveSpec answers the request that a Primus client may send before it connects.
func (s *Server) serveSpec(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	interval := strconv.FormatInt(s.cfg.PingInterval.Milliseconds(), 10)
	w.Write([]byte(`{"pingInterval":` + interval + `,"pathname":"/primus","version":"8.0.9","parser":"json","transformer":"websockets"}`))
}
