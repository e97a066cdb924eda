package listen_test

import (
	"testing"
	"time"

	"github.com/mootchat/moot/engine/listen"
)

func TestExpiry(t *testing.T) {
	f := newFiles(t)
	f.put("one", 30*time.Minute)
	l, err := listen.Open(t.Context(), listen.Config{Address: "127.0.0.1:0", Cert: f.cert, Key: f.key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	end, ok := listen.Expiry(l)
	if left := time.Until(end); !ok || left <= 0 || left > 31*time.Minute {
		t.Errorf("the certificate ends in %v, %v; want half an hour", left, ok)
	}
	plain, err := listen.Open(t.Context(), listen.Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, ok := listen.Expiry(plain); ok {
		t.Error("a listener without TLS has a certificate")
	}
}
