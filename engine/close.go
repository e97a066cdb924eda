package engine

import (
	"fmt"

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
}

// The reasons for which Moot closes connections. RFC 6455, section 7.4.1, defines 1003,
// 1007 and 1009.
var (
	CloseQuit        = Close{1000, "quit"}
	CloseBinary      = Close{1003, "binary frames are not supported"}
	CloseInvalid     = Close{1007, "text is not valid UTF-8"}
	CloseTooBig      = Close{1009, "message too big"}
	CloseShutdown    = Close{3001, "shutdown"}
	CloseSlowReader  = Close{3008, "slow reader"}
	CloseIdle        = Close{3009, "idle"}
	CloseFailed      = Close{3010, "middleware error"}
	CloseUnchecked   = Close{3011, ErrUnchecked.Error()}
	CloseUnavailable = Close{3013, cluster.ErrUnavailable.Error()}
	CloseFull        = Close{3012, "too many connections"}
	CloseDenied      = Close{3501, "denied"}
	CloseToken       = Close{3502, "token missing, bad or expired"}
	CloseRemoved     = Close{3503, "removed by the server"}
	CloseTenant      = Close{3505, "tenant removed"}
	CloseBanned      = Close{3507, "banned"}
	CloseResumed     = Close{3506, "session resumed elsewhere"}
	CloseOrigin      = Close{3504, "origin not allowed"}
)

// Final reports whether a client that receives c should not reconnect by itself.
func (c Close) Final() bool { return c.Code == 1000 || c.Code >= 3500 && c.Code < 4000 }

func (c Close) Error() string { return fmt.Sprintf("%s (%d)", c.Reason, c.Code) }
