package chat

import (
	"strings"
	"testing"
)

// shown is the lines as one text.
func shown(lines []line) string {
	var b []string
	for _, l := range lines {
		l.at = l.at.UTC()
		b = append(b, l.String())
	}
	return strings.Join(b, "\n")
}

func TestWhatIsTypedBecomesRequests(t *testing.T) {
	for _, c := range []struct{ room, typed, request, shown string }{
		{"", "hello", "", "! you are in no room: /join ROOM first"},
		{"r", "hello  there", `{"event":"say","message":"hello  there","messageId":1,"room":"r"}`, ""},
		{"", "/join a room", `{"event":"roomAdd","messageId":1,"room":"a room"}`, ""},
		{"", "/join", "", "! which room? /join ROOM"},
		{"r", "/leave", `{"event":"roomLeave","messageId":1,"room":"r"}`, ""},
		{"r", "/who other", `{"event":"roomView","messageId":1,"room":"other"}`, ""},
		{"", "/do login token=x=y", `{"event":"action","messageId":1,"params":{"action":"login","token":"x=y"}}`, ""},
		{"", "/do login token", "", `! "token" is not NAME=VALUE`},
		{"", "/do", "", "! which action? /do ACTION [NAME=VALUE ...]; /actions lists them"},
		{"", "/room r", "", `! you are not in "r": /join it first`},
		{"", "/rooms", "", "* you are in no room"},
		{"", "/nonsense", "", "! there is no /nonsense; /help names the commands"},
		{"", "   ", "", ""},
	} {
		s := newSession()
		s.room = c.room
		requests, lines, quit := s.typed(c.typed)
		var request string
		for _, r := range requests {
			request += string(r)
		}
		if request != c.request || shown(lines) != c.shown || quit {
			t.Errorf("%q gave %s, %q, %v; want %s, %q", c.typed, request, shown(lines), quit, c.request, c.shown)
		}
	}
	if _, _, quit := newSession().typed("/quit"); !quit {
		t.Error("/quit does not quit")
	}
}

func TestWhatTheServerSendsIsShown(t *testing.T) {
	s := newSession()
	s.ask(question{verb: "detailsView"}, nil)              // 1
	s.ask(question{verb: "roomAdd", room: "lobby"}, nil)   // 2
	s.ask(question{verb: "roomAdd", room: "secure"}, nil)  // 3
	s.ask(question{verb: "action", about: "login"}, nil)   // 4
	s.ask(question{verb: "roomView", room: "lobby"}, nil)  // 5
	s.ask(question{verb: "say", room: "lobby"}, nil)       // 6
	s.ask(question{verb: "documentation"}, nil)            // 7
	s.ask(question{verb: "roomLeave", room: "lobby"}, nil) // 8
	for _, c := range []struct{ frame, shown string }{
		{`{"welcome":"Welcome to the moot api","context":"api"}`, "* Welcome to the moot api"},
		{`{"status":"OK","context":"response","data":{"id":"n-1"},"messageId":1}`, "* you are n-1"},
		{`{"status":"OK","context":"response","data":true,"messageId":2}`, "* joined lobby"},
		{`{"status":"Error: members only","error":"Error: members only","context":"response","messageId":3}`, "! roomAdd secure: members only"},
		{`{"role":"member","context":"response","messageId":4}`, `* login: {"role":"member"}`},
		{`{"status":"OK","context":"response","data":{"members":{"b":{},"a":{}},"membersCount":2},"messageId":5}`, "* lobby has 2: a, b"},
		{`{"status":"OK","context":"response","messageId":6}`, ""},
		{`{"status":"OK","context":"response","data":{"actions":{"login":{"description":"lets you in","inputs":{"token":{}}}}},"messageId":7}`, "* /do login token=...  lets you in"},
		{`{"message":"hi","room":"lobby","from":"n-1","context":"user","sentAt":1}`, "[lobby] you: hi"},
		{`{"message":{"a":1},"room":"lobby","from":"n-2","context":"user","sentAt":1}`, `[lobby] n-2: {"a":1}`},
		{`{"message":"n-2 joined","room":"lobby","from":"0","context":"user","sentAt":1}`, "[lobby] * n-2 joined"},
		{`{"message":"\u001b[2J","room":"lobby","from":"n-2","context":"user","sentAt":1}`, "[lobby] n-2: \uFFFD[2J"},
		{`{"status":"OK","context":"response","data":true,"messageId":8}`, "* left lobby"},
		{`{"error":"invalid JSON","context":"response"}`, "! request: invalid JSON"},
		{`nonsense`, `! the server sent what is no message: "nonsense"`},
	} {
		if got := shown(s.heard([]byte(c.frame))); got != c.shown {
			t.Errorf("%s shows %q, want %q", c.frame, got, c.shown)
		}
	}
	if len(s.asked) != 0 || len(s.rooms) != 0 || s.room != "" || s.me != "n-1" {
		t.Errorf("left over: %+v", s)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	for _, c := range [][2]string{
		{"ws://localhost:8080", "ws://localhost:8080/ws"},
		{"http://h/", "http://h/ws"},
		{"wss://h/acme/ws?token=x", "wss://h/acme/ws?token=x"},
	} {
		if got, err := wsURL(c[0]); err != nil || got != c[1] {
			t.Errorf("%s becomes %s, %v; want %s", c[0], got, err, c[1])
		}
	}
	for _, bad := range []string{"localhost:8080", "ftp://h", "ws://", ":"} {
		if got, err := wsURL(bad); err == nil {
			t.Errorf("%s becomes %s, want an error", bad, got)
		}
	}
}
