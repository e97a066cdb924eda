package bench

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/sdk/go/client"
)

// flood returns the address of a server that answers the first request of a client, sends n messages of a
// run with many in one write, and waits until the client disconnects.
func flood(b *testing.B, id string, n int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		proof := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(proof[:]))
		if _, err := buffered.ReadByte(); err != nil { // wait for the beginning of the request
			return
		}
		out := bufio.NewWriterSize(conn, 32<<10)
		_, _ = out.Write(serverFrame(opText, []byte(`{"status":"OK","context":"response","data":{"id":"me"},"messageId":1}`)))
		frame := serverFrame(opText, []byte(`{"message":"`+magic+id+strings.Repeat("0", digits)+strings.Repeat("x", 128-headerSize)+
			`","room":"r","from":"other","context":"user","sentAt":946684800000}`))
		at := bytes.Index(frame, []byte(magic)) + len(magic) + runDigits
		for i := range n {
			header{seq: uint32(i), measured: true}.put(frame[at:])
			if _, err := out.Write(frame); err != nil {
				return
			}
		}
		_ = out.Flush()
		_, _ = io.Copy(io.Discard, buffered)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

// BenchmarkReceiving measures the processor time of sender and receiver for one message with three receivers:
// "floor" reads frames and ignores them, "raw" is the member of a bench, and "client" is the client of the SDK.
func BenchmarkReceiving(b *testing.B) {
	const id = "abcdefgh"
	measured := func(b *testing.B, receive func(address string)) {
		address := flood(b, id, b.N)
		before, err := usageOf(os.Getpid())
		if err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		receive(address)
		after, err := usageOf(os.Getpid())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((after.cpu-before.cpu)*1e9/float64(b.N), "cpu-ns/op")
	}
	dialed := func(b *testing.B, address string) *conn {
		u, err := url.Parse(address)
		if err != nil {
			b.Fatal(err)
		}
		u.Scheme = "ws"
		c, err := dial(b.Context(), u)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		if err := c.write(opText, []byte(`{"event":"detailsView","messageId":1}`)); err != nil {
			b.Fatal(err)
		}
		return c
	}
	b.Run("floor", func(b *testing.B) {
		measured(b, func(address string) {
			c := dialed(b, address)
			for heard := 0; heard <= b.N; {
				if _, _, ok, err := c.next(); err != nil {
					b.Fatal(err)
				} else if ok {
					heard++
				} else if err := c.fill(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("raw", func(b *testing.B) {
		r := &run{beginning: beginning(id), began: time.Now()}
		m := &member{run: r, room: &room{name: "r"}, shard: newShard(), orders: make([]order, 1)}
		s := &sender{member: m, woken: make(chan struct{}, 1)}
		s.wanted.Store(never)
		m.room.senders = []*sender{s}
		measured(b, func(address string) {
			m.conn = dialed(b, address)
			for m.orders[0].next < uint32(b.N) {
				if err := m.fill(); err != nil {
					b.Fatal(err)
				}
				if err := m.takeAll(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("client", func(b *testing.B) {
		measured(b, func(address string) {
			heard, all := 0, make(chan struct{})
			c, err := client.Connect(b.Context(), address, client.Options{OnMessage: func(m client.Message) {
				_ = m.Text()
				if heard++; heard == b.N {
					close(all)
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			<-all
			c.Close()
			<-c.Done()
		})
	})
}
