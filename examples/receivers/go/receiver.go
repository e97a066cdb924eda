// Receiver prints the events of a tenant. It verifies them with the library of Standard Webhooks:
//
//	go run ./examples/receivers/go SECRET
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type event struct {
	ID, Sequence, Type string
	Data               json.RawMessage
}

func main() {
	verifier, err := standardwebhooks.NewWebhook(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]bool{} // a real receiver keeps the ids in its database
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		if err != nil || verifier.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if !bytes.HasPrefix(body, []byte("[")) {
			body = append(append([]byte("["), body...), ']')
		}
		var events []event
		if err := json.Unmarshal(body, &events); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			if !seen[e.ID] {
				seen[e.ID] = true
				fmt.Println(e.Sequence, e.Type, string(e.Data))
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "4000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", l.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(l, http.HandlerFunc(receive)))
}
