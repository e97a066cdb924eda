// Package browsertest drives the demo page, as the server serves it, in Chromium.
package browsertest

import (
	"cmp"
	"os"
	"testing"

	"github.com/mootchat/moot/engine/compat/nodetest"
)

func TestPageInBrowser(t *testing.T) {
	nodetest.Run(t, cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium"))
}
