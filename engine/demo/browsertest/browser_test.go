// Package browsertest tests the demo page in Chromium.
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
