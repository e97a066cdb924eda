package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/sdk/go/client"
)

const anyPort = "127.0.0.1:0"

func TestMessagesReachAllMembersAndTheSender(t *testing.T) {
	s := serve(t, anyPort, "")
	ann, bob := connect(t, s.address), connect(t, s.address)
	if n := next[client.Notice](ann, nil); !strings.HasPrefix(n.Text, "Welcome") {
		t.Errorf("the welcome is %+v", n)
	}
	ann.join("plain", "kept")
	bob.join("plain", "kept")
	for _, room := range []string{"plain", "kept"} {
		id := ann.say(room, "hello, "+room)
		for _, p := range []*testClient{ann, bob} {
			m := next(p, from(ann.ID()))
			if m.Text() != "hello, "+room || m.Room != room || m.ID != id || len(id) != 24 || m.Extra["id"] != nil || time.Since(m.SentAt).Abs() > deadline || m.Extra == nil {
				t.Errorf("received %+v", m)
			}
			if kept := m.Position.Offset > 0 && m.Position.Epoch != ""; kept != (room == "kept") {
				t.Errorf("%s: the position is %+v", room, m.Position)
			}
		}
	}
}

// TestMessagesChange checks that members receive the new version of a message and its retraction, that history has the version, and
// that only the author may change a message.
func TestMessagesChange(t *testing.T) {
	ctx := timeoutContext(t)
	s := serve(t, anyPort, "")
	ann, bob := connect(t, s.address), connect(t, s.address)
	edited, retracted := make(chan client.Message, 1), make(chan client.Retraction, 1)
	bob.Handle(client.Handlers{OnEdited: func(m client.Message) { edited <- m }, OnRetracted: func(r client.Retraction) { retracted <- r }})
	ann.join("kept")
	bob.join("kept")
	id := ann.say("kept", "helo")
	if err := ann.Edit(ctx, "kept", id, "hello"); err != nil {
		t.Fatal(err)
	}
	if m := <-edited; m.ID != id || m.Text() != "hello" || m.From != ann.ID() || m.EditedAt.IsZero() || m.EditedBy != "" || len(m.Extra) != 0 {
		t.Errorf("received %+v", m)
	}
	page, err := bob.History(ctx, "kept", client.HistoryPage{})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].Text() != "hello" {
		t.Errorf("history is %+v, %v", page, err)
	}
	if got := refused(t, bob.Retract(ctx, "kept", id)); got != "not your message" {
		t.Errorf("refused: %s", got)
	}
	if err := ann.Retract(ctx, "kept", id); err != nil {
		t.Fatal(err)
	}
	if r := <-retracted; r.ID != id || r.Room != "kept" || r.By != "" || r.Position.Offset == 0 {
		t.Errorf("received %+v", r)
	}
}

func TestMembersAndPresence(t *testing.T) {
	ctx := timeoutContext(t)
	s := serve(t, anyPort, "")
	ann, bob := connect(t, s.address), connect(t, s.address, func(o *client.Options) { o.SessionID = "bob's" })
	if _, err := ann.JoinWith(ctx, "watched", client.JoinOptions{Presence: true}); err != nil {
		t.Fatal(err)
	}
	bob.join("watched", "watched", "plain")
	if got := bob.Rooms(); !slices.Equal(got, []string{"plain", "watched"}) {
		t.Errorf("bob is in %v", got)
	}
	next(ann, func(p client.Presence) bool {
		return p.Room == "watched" && slices.Contains(p.Joined, bob.ID()) && len(p.Left) == 0 && p.MembersCount == 2
	})
	first, err := ann.View(ctx, "watched", client.Page{Limit: 1})
	if err != nil || first.MembersCount != 2 || len(first.Members) != 1 || first.Cursor == "" {
		t.Fatalf("%v %+v", err, first)
	}
	rest, err := ann.View(ctx, "watched", client.Page{Cursor: first.Cursor})
	if ids := []string{first.Members[0].ID, rest.Members[0].ID}; err != nil || rest.Cursor != "" || !slices.Contains(ids, ann.ID()) || !slices.Contains(ids, bob.ID()) {
		t.Errorf("%v %+v", err, rest)
	}
	if err := bob.Leave(ctx, "watched"); err != nil {
		t.Fatal(err)
	}
	next(ann, func(p client.Presence) bool { return slices.Equal(p.Left, []string{bob.ID()}) })
	d, err := bob.Details(ctx)
	if err != nil || !slices.Equal(d.Rooms, []string{"plain"}) || !slices.Equal(bob.Rooms(), d.Rooms) || d.ID != bob.ID() || d.Fingerprint != "bob's" {
		t.Errorf("%v %+v", err, d)
	}
	if got := refused(t, errorOf(bob.Say(ctx, "watched", "am I heard?"))); got != "connection not in this room (watched)" {
		t.Error(got)
	}
	if got := refused(t, bob.Join(ctx, "nowhere")); got != "room does not exist" || len(bob.Rooms()) != 1 {
		t.Error(got, bob.Rooms())
	}
}

func TestActions(t *testing.T) {
	ctx := timeoutContext(t)
	ann := connect(t, serve(t, anyPort, "").address)
	all, err := ann.Actions(ctx)
	if err != nil || !all["createChatRoom"].Inputs["name"].Required {
		t.Errorf("%v %+v", err, all)
	}
	answer, err := ann.Action(ctx, "createChatRoom", map[string]any{"name": "new"})
	if err != nil || string(answer["didCreate"]) != "true" || answer["context"] != nil || answer["messageId"] != nil {
		t.Errorf("%v %s", err, answer)
	}
	ann.join("new")
	if got := refused(t, second(ann.Action(ctx, "nonsense", nil))); got != "unknown action or invalid apiVersion" {
		t.Error(got)
	}
}

func TestHistoryComesWithAJoin(t *testing.T) {
	ctx := timeoutContext(t)
	s := serve(t, anyPort, "")
	ann, bob := connect(t, s.address), connect(t, s.address)
	ann.join("cards")
	for _, text := range []string{"one", "two"} {
		ann.say("cards", text)
	}
	if _, err := ann.SayJSON(ctx, "cards", map[string]any{"card": 3}); err != nil {
		t.Fatal(err)
	}
	joined, err := bob.JoinWith(ctx, "cards", client.JoinOptions{History: 2})
	if err != nil || joined.Recovered || len(joined.History.Messages) != 2 || joined.History.Before == 0 {
		t.Fatalf("%v %+v", err, joined)
	}
	if two, card := joined.History.Messages[0], joined.History.Messages[1]; two.Text() != "two" || string(card.Message) != `{"card":3}` {
		t.Errorf("the history has %s, %s", two.Message, card.Message)
	}
	for _, room := range []string{"plain", "cards"} { // one keeps no history, and bob is in the other
		if joined, err := bob.JoinWith(ctx, room, client.JoinOptions{History: 2}); err != nil || len(joined.History.Messages) != 0 {
			t.Errorf("%s: %v %+v", room, err, joined)
		}
	}
	ann.say("cards", "four")
	if m := next(bob, func(client.Message) bool { return true }); m.Text() != "four" {
		t.Errorf("OnMessage is called with %s", m.Message)
	}
}

// TestJSONMessagesAreRecovered checks that a message as JSON keeps its form in a join with a position, and after a break.
func TestJSONMessagesAreRecovered(t *testing.T) {
	ctx := timeoutContext(t)
	s := serve(t, anyPort, "")
	cut := newProxy(t, s.address)
	ann, bob, cleo := connect(t, s.address), connect(t, cut.Addr().String()), connect(t, s.address)
	ann.join("cards")
	bob.join("cards")
	next[connected](bob, nil)
	say := func(n int) {
		t.Helper()
		if _, err := ann.SayJSON(ctx, "cards", []any{map[string]any{"n": n, "text": "é\n"}}); err != nil {
			t.Fatal(err)
		}
	}
	say(1)
	first := next(bob, from(ann.ID()))
	cut.cut()
	say(2)
	say(3)
	for n := 2; n <= 3; n++ {
		if m := next(bob, from(ann.ID())); string(m.Message) != fmt.Sprintf(`[{"n":%d,"text":"é\n"}]`, n) {
			t.Errorf("after the break bob receives %s, want %d", m.Message, n)
		}
	}
	joined, err := cleo.JoinWith(ctx, "cards", client.JoinOptions{Since: first.Position})
	if err != nil || !joined.Recovered {
		t.Errorf("%v %+v", err, joined)
	}
	if m := next(cleo, from(ann.ID())); string(m.Message) != `[{"n":2,"text":"é\n"}]` {
		t.Errorf("cleo receives %s", m.Message)
	}
	if _, err := ann.SayJSON(ctx, "plain", []int{1}); err == nil {
		t.Error("a room without json takes JSON")
	}
}

// TestJSONMessagesOfTheServerArrive checks JSON messages of the server API and of moot say.
func TestJSONMessagesOfTheServerArrive(t *testing.T) {
	s := serve(t, anyPort, "")
	ann := connect(t, s.address)
	ann.join("cards")
	request, err := http.NewRequestWithContext(timeoutContext(t), http.MethodPost, "http://"+s.admin+"/api/tenants/default/rooms/cards/messages", strings.NewReader(`{"message":{"by":"api"}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer the-admin-key-of-all-tests")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	say := exec.CommandContext(timeoutContext(t), moot, "say", "cards", `{"by":["moot say"]}`, "--json")
	say.Env = append(os.Environ(), "MOOT_ADMIN_URL=http://"+s.admin, "MOOT_ADMIN_KEY=the-admin-key-of-all-tests")
	if out, err := say.CombinedOutput(); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the API answers %s; moot say: %v %s", response.Status, err, out)
	}
	for _, want := range []string{`{"by":"api"}`, `{"by":["moot say"]}`} {
		if m := next(ann, from("0")); string(m.Message) != want {
			t.Errorf("it receives %s, want %s", m.Message, want)
		}
	}
}

// TestHandlersAreAddedAndRemoved checks that added handlers are called after those of the options, and not after they are removed, also
// by themselves.
func TestHandlersAreAddedAndRemoved(t *testing.T) {
	ann := connect(t, serve(t, anyPort, "").address)
	heard := make(chan string, 100)
	var once func()
	once = ann.Handle(client.Handlers{OnMessage: func(m client.Message) {
		m.Message[1] = '?' // it owns the bytes
		heard <- "once " + m.Text()
		once()
	}})
	off := ann.Handle(client.Handlers{OnMessage: func(m client.Message) { heard <- "off " + m.Text() }})
	ann.Handle(client.Handlers{OnMessage: func(m client.Message) { heard <- "always " + m.Text() }})
	ann.join("plain")
	var got []string
	for i, text := range []string{"one", "two", "three"} {
		ann.say("plain", text)
		if m := next(ann, from(ann.ID())); m.Text() != text {
			t.Errorf("the handler of the options receives %s", m.Text())
		}
		for range []int{3, 2, 1}[i] {
			got = append(got, <-heard)
		}
		if i == 1 {
			off()
			off()
		}
	}
	if want := []string{"once ?ne", "off one", "always one", "off two", "always two", "always three"}; !slices.Equal(got, want) {
		t.Errorf("the handlers receive %q, want %q", got, want)
	}
}

// TestCloseCodesAreThoseOfTheProtocol compares the close codes of both clients with PROTOCOL.md.
func TestCloseCodesAreThoseOfTheProtocol(t *testing.T) {
	codes := map[string]string{}
	collect := func(file, pattern string, into func(name, code string)) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			into(m[1], m[2])
		}
	}
	collect("codes.go", `\tClose(\w+) += (\d{4})`, func(name, code string) { codes[code] = strings.ToLower(name) })
	protocol := 0
	collect("../../../engine/wire/PROTOCOL.md", `(?m)^(\| )(3\d{3}) \| `, func(_, code string) {
		if protocol++; codes[code] == "" {
			t.Errorf("the client has no name for the close code %s", code)
		}
	})
	if protocol != len(codes)-1 { // CloseQuit
		t.Errorf("the protocol has %d codes, the client %d", protocol, len(codes)-1)
	}
	collect("../../client/src/errors.ts", `(\w+): (\d{4})[,\n]`, func(name, code string) {
		if code != "1006" && codes[code] != strings.ToLower(name) { // 1006 has no frame: here it is an error without a code
			t.Errorf("the code %s is %s in TypeScript, %s in Go", code, name, codes[code])
		}
		delete(codes, code)
	})
	if len(codes) > 0 {
		t.Errorf("TypeScript has no names for %v", codes)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestTooManyRequests(t *testing.T) {
	ctx := timeoutContext(t)
	ann := connect(t, serve(t, anyPort, "").address)
	ann.join("plain")
	var all sync.WaitGroup
	errs := make(chan error, 400)
	for range cap(errs) {
		all.Go(func() { errs <- errorOf(ann.Say(ctx, "plain", "again")) })
	}
	all.Wait()
	close(errs)
	var limited int
	for err := range errs {
		var v *client.VerbError
		if errors.As(err, &v) && v.RetryAfter > 0 && v.Message == "rate limit exceeded" {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if limited == 0 {
		t.Error("none of 400 was refused")
	}
}

func TestMessagesDuringBreaksArriveOnceAndInOrder(t *testing.T) {
	for _, more := range []string{"", "sessions: { grace: 1m }"} {
		t.Run(more, func(t *testing.T) {
			s := serve(t, anyPort, more)
			cut := newProxy(t, s.address)
			there := make(chan connected, 10)
			ann, bob := connect(t, cut.Addr().String(), func(o *client.Options) {
				o.OnConnected = func(id string, resumed bool) { there <- connected{id, resumed} }
			}), connect(t, s.address)
			ann.join("kept", "plain")
			bob.join("kept")
			me := <-there
			var want []string
			for i := range 30 {
				switch i % 10 {
				case 5:
					cut.cut()
				case 9:
					if c := <-there; c.resumed != (more != "") || c.resumed != (c.id == me.id) {
						t.Errorf("%+v became %+v", me, c)
					}
				}
				want = append(want, fmt.Sprint("message ", i))
				bob.say("kept", want[i])
			}
			var heard []string
			for len(heard) < len(want) {
				switch e := next[any](ann, nil).(type) {
				case client.Message:
					if e.From == bob.ID() {
						heard = append(heard, e.Text())
					}
				case gap:
					if e != "plain" || more != "" { // without sessions, the room without history has no members meanwhile, and begins an epoch
						t.Errorf("a gap in %s", e)
					}
				case left:
					t.Errorf("%T %v", e, e)
				}
			}
			if !slices.Equal(heard, want) {
				t.Errorf("received %q", heard)
			}
			var said []string
			for before := uint64(0); ; {
				h, err := ann.History(timeoutContext(t), "kept", client.HistoryPage{Limit: 7, Before: before})
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range slices.Backward(h.Messages) {
					if m.From == bob.ID() {
						said = append(said, m.Text())
					}
				}
				if before = h.Before; before == 0 {
					break
				}
			}
			if slices.Reverse(said); !slices.Equal(said, want) {
				t.Errorf("history is %q", said)
			}
			if d, err := ann.Details(timeoutContext(t)); err != nil || !slices.Equal(slices.Sorted(slices.Values(d.Rooms)), []string{"kept", "plain"}) {
				t.Errorf("%v %+v", err, d)
			}
		})
	}
}

// TestGapsInARoomWithoutHistory checks that a client reports a gap if it missed messages during a break, and only
// then.
func TestGapsInARoomWithoutHistory(t *testing.T) {
	for _, more := range []string{"", "sessions: { grace: 1m }"} {
		t.Run(more, func(t *testing.T) {
			s := serve(t, anyPort, more)
			cut := newProxy(t, s.address)
			var gate sync.Mutex // held while the client cannot connect
			ann, bob := connect(t, cut.Addr().String(), func(o *client.Options) {
				o.HTTPClient = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
					gate.Lock()
					defer gate.Unlock()
					return http.DefaultTransport.RoundTrip(r)
				})}
			}), connect(t, s.address)
			ann.join("plain")
			bob.join("plain")
			next[connected](ann, nil)
			for round, missed := range []int{0, 3, 0, 0, 1, 0} {
				bob.say("plain", "heard")
				next[client.Message](ann, nil)
				gate.Lock()
				cut.cut()
				next(ann, is(client.Waiting))
				for range missed {
					bob.say("plain", "missed")
				}
				gate.Unlock()
				gaps := 0
				for back := false; !back; {
					switch e := next[any](ann, nil).(type) {
					case gap:
						gaps++
					case client.Message:
						t.Errorf("round %d: received %q", round, e.Text())
					case connected:
						back = true
					}
				}
				if want := min(missed, 1); gaps != want {
					t.Errorf("round %d: told of %d gaps after missing %d messages", round, gaps, missed)
				}
			}
		})
	}
}

// TestSayIsNotPublishedTwice checks that no message is published twice if connections break while a client sends.
func TestSayIsNotPublishedTwice(t *testing.T) {
	for _, more := range []string{"", "sessions: { grace: 1m }"} {
		t.Run(more, func(t *testing.T) {
			ctx := timeoutContext(t)
			s := serve(t, anyPort, more+"\nlimits: { verbsPerSecond: 10000 }")
			cut := newProxy(t, s.address)
			ann, bob := connect(t, cut.Addr().String()), connect(t, s.address)
			ann.join("kept")
			bob.join("kept")
			var lost int
			count := map[string]int{}
			for i := range 200 {
				if i%6 == 3 {
					go cut.cut() // before or after the server receives the message
				}
				text := fmt.Sprint("message ", i)
				switch _, err := ann.Say(ctx, "kept", text); {
				case errors.Is(err, client.ErrLost) && more == "":
					lost++
				case err != nil:
					t.Fatalf("%s: %v", text, err)
				default:
					count[text] = 1
				}
			}
			ann.say("kept", "end")
			for {
				m := next(bob, func(m client.Message) bool { return strings.HasPrefix(m.Text(), "message") || m.Text() == "end" })
				if m.Text() == "end" {
					break
				}
				count[m.Text()] += 2
			}
			for text, n := range count {
				if n != 3 && (n != 2 || more != "") {
					t.Errorf("%q was received %d times", text, n/2)
				}
			}
			t.Logf("%d were lost", lost)
		})
	}
}

func TestClientReconnectsToARestartedServer(t *testing.T) {
	ctx := timeoutContext(t)
	first := serve(t, anyPort, "")
	ann := connect(t, first.address)
	ann.join("kept", "plain")
	if _, err := ann.Action(ctx, "createChatRoom", map[string]any{"name": "forgotten"}); err != nil {
		t.Fatal(err)
	}
	ann.join("forgotten")
	ann.say("kept", "before")
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	waits := next(ann, is(client.Waiting))
	var why *client.ClosedError
	if !errors.As(waits.Err, &why) || why.Code != 3001 || waits.Delay > 10*time.Millisecond {
		t.Errorf("it waits: %+v", waits)
	}
	said := make(chan error, 1)
	go func() { said <- errorOf(ann.Say(ctx, "plain", "said while away")) }() // waits for the connection
	given, giveUp := context.WithTimeout(ctx, 50*time.Millisecond)
	defer giveUp()
	if _, err := ann.Say(given, "plain", "never"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrLost) {
		t.Errorf("unsent message: %v", err)
	}
	serve(t, first.address, "")
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	var missed, lost bool
	for {
		e := next[any](ann, nil)
		missed = missed || e == gap("kept") // a node without Redis keeps history in memory
		if l, is := e.(left); is && l.room == "forgotten" {
			lost = refused(t, l.err) == "room does not exist"
		}
		if m, is := e.(client.Message); is && m.Text() == "said while away" {
			break
		} else if is && m.Text() == "never" {
			t.Error("a cancelled message was said")
		}
	}
	if !missed || !lost || !slices.Equal(ann.Rooms(), []string{"kept", "plain"}) {
		t.Errorf("gap %v, left %v, in %v", missed, lost, ann.Rooms())
	}
}

func TestManyRoomsAreJoinedAgain(t *testing.T) {
	ctx := timeoutContext(t)
	var rooms []string
	for i := range 50 { // more than the rate limit lets through at once
		rooms = append(rooms, fmt.Sprint("r", i))
	}
	s := serve(t, anyPort, "limits: { verbsPerSecond: 20 }")
	cut := newProxy(t, s.address)
	ann := connect(t, cut.Addr().String())
	for _, room := range rooms {
		for _, ask := range []func() error{
			func() error { return second(ann.Action(ctx, "createChatRoom", map[string]any{"name": room})) },
			func() error { return ann.Join(ctx, room) },
		} {
			if err := retrying(ask); err != nil {
				t.Fatal(err)
			}
		}
	}
	next[connected](ann, nil)
	cut.cut()
	next[connected](ann, nil)
	var d client.Details
	err := retrying(func() (err error) {
		d, err = ann.Details(ctx)
		return err
	})
	if err != nil || len(d.Rooms) != len(rooms) {
		t.Errorf("%v: in %d rooms again, want %d", err, len(d.Rooms), len(rooms))
	}
}

// retrying repeats ask while the server says when to retry.
func retrying(ask func() error) error {
	for {
		var v *client.VerbError
		err := ask()
		if !errors.As(err, &v) || v.RetryAfter == 0 {
			return err
		}
		time.Sleep(v.RetryAfter)
	}
}

func TestConnectingFails(t *testing.T) {
	for _, address := range []string{"localhost:8080", "ftp://h", "ws://", ":", ""} {
		if _, err := client.Connect(t.Context(), address, client.Options{}); err == nil {
			t.Errorf("%q is a URL", address)
		}
	}
	s := serve(t, anyPort, "")
	_, err := client.Connect(timeoutContext(t), "ws://"+s.address+"/nonsense", client.Options{})
	var end *client.ClosedError
	if !errors.As(err, &end) || end.Code != 404 {
		t.Errorf("a path that is none: %v", err)
	}
	nobody, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	nobody.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = client.Connect(ctx, "ws://"+address, client.Options{MinDelay: time.Millisecond, MaxDelay: time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	ctx := timeoutContext(t)
	s := serve(t, anyPort, "")
	ann := connect(t, s.address)
	ann.join("plain")
	ann.say("plain", "last words")
	ann.leave()
	next(ann, func(m client.Message) bool { return m.Text() == "last words" }) // sent before Close
	end := next(ann, is(client.Closed))
	var why *client.ClosedError
	if _, err := ann.Say(ctx, "plain", "more"); !errors.As(err, &why) || why.Code != 1000 || !errors.Is(end.Err, err) || ann.Err() != err || ann.State() != client.Closed {
		t.Errorf("%v, %v", err, end)
	}
}
