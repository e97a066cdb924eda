package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// redisScript starts a redis-server for the script and sets $REDIS to its address.
func redisScript(ts *testscript.TestScript, neg bool, args []string) {
	s, err := redistest.Run(ts.Getenv("WORK"), args...)
	ts.Check(err)
	ts.Defer(s.Kill)
	ts.Setenv("REDIS", s.Address())
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "redis.address"), []byte(s.Address()), 0o666))
}

var turn = regexp.MustCompile(`^(\w+)@(\d) ([<>]) (.*)$`)

// variable matches a variable of a script in a line of a talk.
var variable = regexp.MustCompile(`\$\{[A-Z]+\}`)

// conversations maps the folder of a script to its open clients.
var conversations sync.Map

// talkScript plays a conversation. Each line has a client, its server, and what it sends or receives:
//
//	ann@1 > roomAdd hall
//	ann@1 < "id":"(?P<FIRST>[^"]+)"
//	ann@1 > {"event":"retract","room":"hall","id":"${FIRST}"}
//
// A named group of a pattern sets a variable of the script; ${NAME} is its value. With > a client sends the text. With < it reads lines until one matches the pattern. With -keep the clients stay connected
// for the next talk.
func talkScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[0] != "-keep" {
		ts.Fatalf("usage: talk [-keep] FILE")
	}
	speakers := map[string]*nodetest.Client{}
	if kept, ok := conversations.LoadAndDelete(ts.Getenv("WORK")); ok {
		speakers = kept.(map[string]*nodetest.Client)
	}
	hangUp := func() {
		for _, s := range speakers {
			s.Conn.Close()
		}
	}
	if len(args) == 2 {
		args = args[1:]
		conversations.Store(ts.Getenv("WORK"), speakers)
		ts.Defer(hangUp)
	} else {
		defer hangUp()
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		m := turn.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			ts.Fatalf("talk: %q is not CLIENT@SERVER > TEXT or CLIENT@SERVER < PATTERN", line)
		}
		text := variable.ReplaceAllStringFunc(m[4], func(v string) string { return ts.Getenv(v[2 : len(v)-1]) })
		s := speakers[m[1]]
		if s == nil {
			var err error
			s, err = nodetest.Dial(ts.Getenv("SOCKET" + m[2]))
			ts.Check(err)
			speakers[m[1]] = s
		}
		if m[3] == "<" {
			fits, err := regexp.Compile(text)
			ts.Check(err)
			if err := s.Hear(fits); err != nil {
				ts.Fatalf("%s: %v", m[1], err)
			}
			for i, value := range fits.FindStringSubmatch(s.Lines.Text()) {
				if name := fits.SubexpNames()[i]; name != "" {
					ts.Setenv(name, value)
				}
			}
			continue
		}
		_, err := fmt.Fprintf(s.Conn, "%s\n", text)
		ts.Check(err)
	}
}
