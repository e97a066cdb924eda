package engine_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/wire"
)

// client is a client of a node in a synctest bubble.
type client struct {
	*enginetest.Client
	n *node
}

func (n *node) client() *client { return n.open(wire.WebSocket, engine.ReservationRequest{}) }
func (n *node) socket() *client { return n.open(wire.Socket, engine.ReservationRequest{}) }

func (n *node) open(d wire.Dialect, r engine.ReservationRequest) *client {
	n.w.Helper()
	c, err := n.tryOpen(d, r)
	if err != nil {
		n.w.Fatal(err)
	}
	return c
}

func (n *node) tryOpen(d wire.Dialect, r engine.ReservationRequest, change ...func(*engine.Info)) (*client, error) {
	n.w.Helper()
	c, err := enginetest.Connect(n.w, n.Engine.Engine, d, r, change...)
	if err != nil {
		return nil, err
	}
	opened := &client{c, n}
	opened.heard() // discards the welcome
	return opened, nil
}

// connect is like open, for goroutines other than the test's own.
func (n *node) connect(d wire.Dialect) (*client, error) {
	c, err := enginetest.Connect(n.w, n.Engine.Engine, d, engine.ReservationRequest{})
	return &client{c, n}, err
}

// do runs requests one after the other and discards the answers.
func (c *client) do(requests ...string) *client {
	c.n.w.Helper()
	for _, r := range requests {
		c.Run(r)
		synctest.Wait()
	}
	c.heard()
	return c
}

// says runs a request and checks all messages that the client receives. It compares answers
// before chat messages, because their order is not guaranteed.
func (c *client) says(request string, want ...string) {
	c.n.w.Helper()
	c.Run(request)
	c.compare(answersFirst(c.heard()), want)
}

// answersFirst moves answers before chat messages, because their order is not guaranteed.
func answersFirst(heard []string) []string {
	slices.SortStableFunc(heard, func(a, b string) int { return cmp.Compare(isChat(a), isChat(b)) })
	return heard
}

func isChat(message string) int {
	if strings.HasPrefix(message, `{"message":`) || strings.HasPrefix(message, `{"retracts":`) || strings.HasPrefix(message, `{"edits":`) {
		return 1
	}
	return 0
}

// hears checks the messages that the client has received since the last call.
func (c *client) hears(want ...string) {
	c.n.w.Helper()
	c.compare(c.heard(), want)
}

func (c *client) compare(got, want []string) {
	c.n.w.Helper()
	if !slices.Equal(got, want) {
		c.n.w.Errorf("received\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// messageID matches the id of a message in messages and answers.
var messageID = regexp.MustCompile(`,"id":"([0-9a-v]{24})"`)

// heard returns the messages that the client has received since the last call, without the ids
// of messages, which are random.
func (c *client) heard() []string {
	heard := c.heardIDs()
	for i, m := range heard {
		heard[i] = messageID.ReplaceAllString(m, "")
	}
	return heard
}

// heardIDs is heard with the ids of messages.
func (c *client) heardIDs() []string {
	synctest.Wait()
	return c.Received()
}

// isTrue is the answer to roomAdd and roomLeave with messageId 1.
const isTrue = `{"status":"OK","context":"response","data":true,"messageId":1}`

// ok is the answer without data to a request with messageId 1.
const ok = `{"status":"OK","context":"response","messageId":1}`

func roomAdd(room string) string { return `{"event":"roomAdd","room":"` + room + `","messageId":1}` }
func roomLeave(room string) string {
	return `{"event":"roomLeave","room":"` + room + `","messageId":1}`
}

func say(room, text string) string {
	return fmt.Sprintf(`{"event":"say","room":%q,"message":%q,"messageId":1}`, room, text)
}

// failed returns the answer to a failed verb with messageId 1 whose data is {}.
func failed(text string) string {
	return fmt.Sprintf(`{"status":"Error: %s","error":"Error: %[1]s","context":"response","data":{},"messageId":1}`, text)
}

// chat returns a message as members receive it.
func chat(room, from, text string) string {
	return fmt.Sprintf(`{"message":%q,"room":%q,"from":%q,"context":"user","sentAt":%s}`, text, room, from, now)
}
