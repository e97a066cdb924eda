package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/ask/web"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/sdk/go/client"
)

// webhookServices are the commands of the services, without their token.
func webhookServices(t *testing.T) map[string][]string {
	t.Helper()
	binary := t.TempDir() + "/service"
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./webhook/go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return map[string][]string{"Node.js": {"node", "webhook/service.mjs"}, "Python": {"python3", "webhook/service.py"}, "Go": {binary}}
}

// startService starts a service on a free port, and returns its address.
func startService(ctx context.Context, t *testing.T, args []string, token string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], token)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "PORT=0"), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("the service does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var port int
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the service has ended: %v", lines.Err())
	}
	if _, err := fmt.Sscanf(lines.Text(), "listening on %d", &port); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d/", port)
}

// putTooMuch asks a service a valid question that is longer than those of the rule, and returns the status.
func putTooMuch(ctx context.Context, t *testing.T, address, token string) int {
	t.Helper()
	question := `{"version":1,"hook":"connect","user":"` + strings.Repeat("x", 16<<10) + `"}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestWebhookServices asks each service the same questions.
func TestWebhookServices(t *testing.T) {
	const token = "3f0c4b8a9d1e7c65"
	for name, args := range webhookServices(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			address := startService(ctx, t, args, token)
			client := web.New(web.Limits{})
			defer client.Close()
			put := func(token, question string) ask.Answer {
				t.Helper()
				s, err := client.Service("t", "webhook", "webhook", web.Spec{URL: address, Headers: map[string]string{"authorization": "Bearer " + token}, Timeout: ask.MaxTime})
				if err != nil {
					t.Fatal(err)
				}
				answer, err := s.Ask(ctx, []byte(question))
				if err != nil {
					t.Fatal(err)
				}
				return answer
			}
			if answer := put("another", `{"version":1,"hook":"join","room":"hall"}`); answer.Status != 401 {
				t.Errorf("with another token: %+v", answer)
			}
			if answer := put(token, `{"version":2,"hook":"join","room":"hall"}`); answer.Status != 400 {
				t.Errorf("another version: %+v", answer)
			}
			for _, bad := range []string{``, `{`, `null`, `[]`, `{"version":1}x`, strings.Repeat("[", 16<<10)} {
				if answer := put(token, bad); answer.Status != 400 {
					t.Errorf("the body %.30q: %+v", bad, answer)
				}
			}
			if status := putTooMuch(ctx, t, address, token); status != 400 {
				t.Errorf("a body that is too long: %d", status)
			}
			for question, want := range map[string]string{
				`"hook":"connect"`:                                           `{"verdict":"allow"}`,
				`"hook":"join","room":"hall"`:                                `{"verdict":"allow"}`,
				`"hook":"join","room":"staff-room","user":"ann"`:             `{"verdict":"allow"}`,
				`"hook":"join","room":"staff-room"`:                          `{"verdict":"deny","reason":"staff only","code":7}`,
				`"hook":"onSayReceive","room":"hall","message":"hello"`:      `{"verdict":"allow"}`,
				`"hook":"onSayReceive","room":"hall","message":{"a":"darn"}`: `{"verdict":"allow"}`,
				`"hook":"onSayReceive","room":"hall","message":"darn é"`:     `{"verdict":"deny","reason":"not in this house"}`,
				`"hook":"onSayReceive","message":"see http://a.example"`:     `{"verdict":"hold","reason":"a link without TLS","ttl":3600}`,
				`"hook":"onSayReceive","message":"LOUD HELLO"`:               `{"verdict":"rewrite","message":"loud hello"}`,
				`"hook":"action","params":{"data":{"a":[1]}}`:                `{"verdict":"allow","reply":{"echo":{"a":[1]}}}`,
				`"hook":"action"`:                                            `{"verdict":"allow","reply":{"echo":null}}`,
			} {
				answer := put(token, `{"version":1,`+question+`}`)
				var got, expected any
				if err := json.Unmarshal([]byte(want), &expected); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(answer.Body, &got); err != nil || answer.Status != 200 || !reflect.DeepEqual(got, expected) {
					t.Errorf("%s: %d %s, want %s", question, answer.Status, answer.Body, want)
				}
			}
		})
	}
}

// TestWebhookServicesNeedAToken starts each service without its token.
func TestWebhookServicesNeedAToken(t *testing.T) {
	for name, args := range webhookServices(t) {
		for _, extra := range [][]string{nil, {""}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, args[0], append(args[1:len(args):len(args)], extra...)...)
			cmd.Env = append(os.Environ(), "PORT=0")
			out, err := cmd.CombinedOutput()
			cancel()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 || !strings.HasPrefix(string(out), "usage: ") {
				t.Errorf("%s %q: %v\n%s", name, extra, err, out)
			}
		}
	}
}

// TestTheRuleWebhookAsksAService runs a server with the rule, beside the service in Go.
func TestTheRuleWebhookAsksAService(t *testing.T) {
	const token = "3f0c4b8a9d1e7c65"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	address := startService(ctx, t, webhookServices(t)["Go"], token)
	file := filepath.Join(t.TempDir(), "moot.yaml")
	text := fmt.Sprintf(`
http: { listen: "127.0.0.1:0" }
socket: { listen: "" }
admin: { listen: "" }
drain: 0s
cache: off
modules: { webhook: { builtin: webhook } }
tenants:
  default:
    rooms: { starting: [hall, staff-room] }
    chain:
      - module: webhook
        asks: { webhook: { url: %q, headers: { authorization: "Bearer %s" }, timeout: 10s } }
`, address, token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	running, stop := context.WithCancel(ctx)
	defer stop()
	n, err := node.Start(running, node.Config{File: file, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	c, err := client.Connect(ctx, "ws://"+n.Addresses().HTTP+"/ws", client.Options{OnMessage: func(m client.Message) { heard <- m.Text() }})
	if err != nil {
		t.Fatal(err)
	}
	denied := func(err error, reason string, code uint32) {
		t.Helper()
		refusal, ok := errors.AsType[*client.VerbError](err)
		if !ok || refusal.Message != reason || refusal.Code != code {
			t.Errorf("got %v, want %s (%d)", err, reason, code)
		}
	}
	say := func(text string) error {
		_, err := c.Say(ctx, "hall", text)
		return err
	}
	denied(c.Join(ctx, "staff-room"), "staff only", 7)
	if err := errors.Join(c.Join(ctx, "hall"), say("LOUD HELLO")); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "loud hello" {
		t.Errorf("heard %q", got)
	}
	denied(say("darn"), "not in this house", 0)
	answer, err := c.Action(ctx, "webhook", map[string]any{"data": []int{1, 2}})
	if err != nil || string(answer["echo"]) != "[1,2]" {
		t.Errorf("the action answers %s, %v", answer, err)
	}
	c.Close()
	stop()
	if err := n.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), token) {
		t.Errorf("the log has the token:\n%s", log.String())
	}
}
