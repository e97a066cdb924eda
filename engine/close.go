package engine

import (
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// Close is the reason why a connection ends: the code and the text of its WebSocket close
// frame. The zero Close stands for a connection that was lost.
//
// Application codes tell a client whether to reconnect: yes for 3000-3499, no for
// 3500-3999.
type Close struct {
	Code   int
	Reason string // the first 123 bytes reach the client

	// RetryAfter is the time after which the client should connect again, or 0. Clients of
	// ActionHero do not receive it.
	RetryAfter time.Duration
}

// The reasons for which Moot closes connections. RFC 6455, section 7.4.1, defines 1003,
// 1007 and 1009.
var (
	CloseQuit        = Close{Code: 1000, Reason: "quit"}
	CloseBinary      = Close{Code: 1003, Reason: "binary frames are not supported"}
	CloseInvalid     = Close{Code: 1007, Reason: "text is not valid UTF-8"}
	CloseTooBig      = Close{Code: 1009, Reason: "message too big"}
	CloseShutdown    = Close{Code: 3001, Reason: "shutdown"}
	CloseSlowReader  = Close{Code: 3008, Reason: "slow reader"}
	CloseIdle        = Close{Code: 3009, Reason: "idle"}
	CloseIncomplete  = Close{Code: 3009, Reason: "too many incomplete messages"}
	CloseFailed      = Close{Code: 3010, Reason: "middleware error"}
	CloseUnchecked   = Close{Code: 3011, Reason: ErrUnchecked.Error()}
	CloseUnavailable = Close{Code: 3013, Reason: cluster.ErrUnavailable.Error()}
	CloseFull        = Close{Code: 3012, Reason: "too many connections"}
	CloseDenied      = Close{Code: 3501, Reason: "denied"}
	CloseToken       = Close{Code: 3502, Reason: "token missing, bad or expired"}
	CloseRemoved     = Close{Code: 3503, Reason: "removed by the server"}
	CloseTenant      = Close{Code: 3505, Reason: "tenant removed"}
	CloseBanned      = Close{Code: 3507, Reason: "banned"}
	CloseResumed     = Close{Code: 3506, Reason: "session resumed elsewhere"}
	CloseOrigin      = Close{Code: 3504, Reason: "origin not allowed"}
)

// The clients that a node closes at once come back one after the other, at this interval,
// or faster if that would take longer than maxReturn.
const (
	returnInterval = 10 * time.Millisecond
	maxReturn      = time.Second
)

// closeForShutdown closes connections. Each has a time of its own to come back, so that the
// clients reach the other nodes evenly.
func closeForShutdown(all []*Connection) {
	spread := min(maxReturn, returnInterval*time.Duration(len(all)))
	for i, c := range all {
		why := CloseShutdown
		why.RetryAfter = spread * time.Duration(i+1) / time.Duration(len(all))
		c.Close(why)
	}
}

// Final reports whether a client that receives c should not reconnect by itself.
func (c Close) Final() bool { return c.Code == 1000 || c.Code >= 3500 && c.Code < 4000 }

func (c Close) Error() string { return fmt.Sprintf("%s (%d)", c.Reason, c.Code) }
