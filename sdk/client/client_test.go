// Package client holds the tests of the TypeScript client, which Node.js and Chromium
// run against the program.
package client

import (
	"cmp"
	"os"
	"testing"

	"github.com/mootchat/moot/engine/compat/nodetest"
)

func TestClient(t *testing.T) {
	nodetest.Run(t, cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium"), "dist/index.js")
}
