package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRepliesThatClaimTooMuchAreRefused checks replies with large lengths and few bytes: they take no
// memory, do not end the process, and fail with an error that has the length.
func TestRepliesThatClaimTooMuchAreRefused(t *testing.T) {
	nested := strings.Repeat("*1\r\n", 1<<16)
	for reply, want := range map[string]string{
		"$2000000000\r\n":                         "claims a string of 2000000000 bytes",
		"$9223372036854775807\r\n":                "claims a string",
		"*2000000000\r\n":                         "claims more than 1048576 elements",
		"*9223372036854775807\r\n":                "claims more than 1048576 elements",
		"*2\r\n*1000000\r\n*1000000\r\n":          "claims more than 1048576 elements",
		"*2\r\n*1\r\n:1\r\n*1048575\r\n":          "claims more than 1048576 elements",
		nested:                                    "nested deeper than 16",
		"-" + strings.Repeat("x", 1<<20) + "\r\n": "a line is longer than 65536 bytes",
		"+" + strings.Repeat("x", 1<<20):          "a line is longer than 65536 bytes",
		":" + strings.Repeat("1", 100) + "\r\n":   "a line is longer than 24 bytes",
		"$" + strings.Repeat("0", 100) + "1\r\n":  "a line is longer than 24 bytes",
		"$-2\r\n":                                 "is not a length",
		"$x\r\n":                                  "is not a length",
		"%2000000000\r\n":                         "claims more than 1048576 elements",
		"%600000\r\n":                             "claims more than 1048576 elements",
		"~2000000000\r\n":                         "claims more than 1048576 elements",
		"=2000000000\r\n":                         "claims a string of 2000000000 bytes",
		"|1\r\n":                                  `begins with '|'`,
		"\r\n":                                    `begins with '\r'`,
	} {
		t.Run(fmt.Sprintf("%.20q", reply), func(t *testing.T) {
			server := lyingServer(t, reply)
			cfg, err := Config{Addresses: []string{"lying:6379"}, Node: "n", dialer: server}.complete()
			if err != nil {
				t.Fatal(err)
			}
			client := cfg.dial(1)
			defer client.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err = client.Do(t.Context(), "GET", "k").Err()
			runtime.ReadMemStats(&after)
			if !errors.Is(err, errReply) || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %.200v, want %q", err, want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// lyingServer returns a dialer of connections that answer every command with the same bytes.
func lyingServer(t *testing.T, reply string) dialer {
	return func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		go func() {
			buf := make([]byte, 4<<10)
			for {
				n, err := there.Read(buf)
				if err != nil {
					return
				}
				answer := reply
				switch command := bytes.ToLower(buf[:n]); {
				case bytes.Contains(command, []byte("hello")):
					answer = "-ERR unknown command\r\n"
				case bytes.Contains(command, []byte("eval")):
					answer = "+1\r\n"
				}
				there.SetWriteDeadline(time.Now().Add(10 * time.Second))
				if _, err := there.Write([]byte(answer)); err != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

// FuzzReplies checks that the result does not depend on how the bytes of a reply arrive, and that lengths stay within the
// limits.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$3\r\nabc\r\n$-1\r\n", "*2\r\n$0\r\n\r\n*0\r\n+x\r\n", "*-1\r\n:5\r\n", "$2000000000\r\n", "*3\r\n*1\r\n:1\r\n*2\r\n$1\r\nx\r\n:2\r\n-E\r\n+a\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, single replies
		err := whole.check(b)
		for i := range b {
			single.check(b[i : i+1])
		}
		if fmt.Sprint(err) != fmt.Sprint(single.wrong) {
			t.Errorf("%q: whole %v, in bytes %v", b, err, single.wrong)
		}
		if whole.elements > maxReplyElements || len(whole.open) > maxReplyDepth || whole.skip > maxReplyString+2 {
			t.Errorf("%q: %+v", b, whole)
		}
	})
}

// TestRepliesAreFollowed checks that the end of valid replies is found, wherever they are cut.
func TestRepliesAreFollowed(t *testing.T) {
	all := "+OK\r\n-ERR x\r\n:1\r\n$3\r\na\nc\r\n$-1\r\n*0\r\n*-1\r\n*3\r\n$0\r\n\r\n*2\r\n:1\r\n*1\r\n+x\r\n$1\r\n\n\r\n" +
		"%2\r\n+a\r\n*1\r\n:1\r\n$1\r\nb\r\n_\r\n~1\r\n#t\r\n,1.5\r\n(123\r\n!3\r\nERR\r\n=5\r\ntxt:a\r\n>2\r\n+x\r\n%0\r\n"
	for cut := range len(all) {
		var r replies
		if err := errors.Join(r.check([]byte(all[:cut])), r.check([]byte(all[cut:]))); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if r.kind != 0 || r.skip != 0 || len(r.open) != 0 || r.elements != 0 {
			t.Fatalf("cut at %d: %+v is left", cut, r)
		}
	}
}
