package client

// The close codes of the server, as ClosedError.Code. PROTOCOL.md describes them.
const (
	CloseQuit           = 1000
	CloseShutdown       = 3001
	CloseSlowReader     = 3008
	CloseIdle           = 3009
	CloseTryAgain       = 3010
	CloseTokenUnchecked = 3011
	CloseFull           = 3012
	CloseUnavailable    = 3013
	CloseDenied         = 3501
	CloseToken          = 3502
	CloseRemoved        = 3503
	CloseOrigin         = 3504
	CloseTenant         = 3505
	CloseResumed        = 3506
	CloseBanned         = 3507
)
