// Service is a service for the rule webhook:
//
//	go run ./examples/webhook/go TOKEN
package main

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

// question is a request of the rule: see guests/webhook/README.md.
type question struct {
	Version          int
	Hook, Room, User string
	Message          any
	Params           struct{ Data any }
}

type answer struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Code    int    `json:"code,omitempty"`
	TTL     int    `json:"ttl,omitempty"` // s
	Message any    `json:"message,omitempty"`
	Reply   any    `json:"reply,omitempty"`
}

func decide(q question) answer {
	text, isText := q.Message.(string)
	switch {
	case q.Hook == "join" && strings.HasPrefix(q.Room, "staff-") && q.User == "":
		return answer{Verdict: "deny", Reason: "staff only", Code: 7}
	case q.Hook == "onSayReceive" && isText && strings.Contains(text, "darn"):
		return answer{Verdict: "deny", Reason: "not in this house"}
	case q.Hook == "onSayReceive" && isText && strings.Contains(text, "http://"):
		return answer{Verdict: "hold", Reason: "a link without TLS", TTL: 3600}
	case q.Hook == "onSayReceive" && isText && strings.HasPrefix(text, "LOUD "):
		return answer{Verdict: "rewrite", Message: strings.ToLower(text)}
	case q.Hook == "action":
		return answer{Verdict: "allow", Reply: map[string]any{"echo": q.Params.Data}}
	}
	return answer{Verdict: "allow"}
}

func main() {
	if len(os.Args) != 2 || os.Args[1] == "" {
		fmt.Fprintln(os.Stderr, "usage: service TOKEN")
		os.Exit(2)
	}
	token := []byte("Bearer " + os.Args[1])
	serve := func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), token) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10)) // the rule sends no longer requests
		var q question
		if err != nil || json.Unmarshal(body, &q) != nil || q.Version != 1 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(decide(q)) // the client has gone
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "4001"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", l.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(l, http.HandlerFunc(serve)))
}
