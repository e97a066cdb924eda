package bench

import (
	"testing"
)

// BenchmarkTake measures the cost of a delivery without the read: a member of a room with one sender
// handles 16 messages of one read.
func BenchmarkTake(b *testing.B) {
	const joined = 16
	o := good()
	o.Size = 128
	r, err := newRun(o)
	if err != nil {
		b.Fatal(err)
	}
	m := r.members[1]
	request, at := template(m.room.name, r.id, o.Size)
	text := request[at-len(magic)-runDigits : len(request)-2]
	payload := append([]byte(`{"message":"`), text...)
	payload = append(payload, `","room":"bench-0","from":"6d0b2f3a-9d5c-4f0e-8a59-3a1f1f6f0a11","context":"user","sentAt":1700000000000}`...)
	digitsAt := len(`{"message":"`) + len(magic) + runDigits
	stream := make([]byte, 0, joined*(len(payload)+4))
	for range joined {
		stream = append(stream, serverFrame(opText, payload)...)
	}
	frame := len(stream) / joined
	m.conn = &conn{in: stream}
	b.ReportAllocs()
	var seq uint32
	for b.Loop() {
		for i := range joined {
			header{seq: seq, measured: true, at: int64(r.now())}.put(stream[i*frame+4+digitsAt:])
			seq++
		}
		m.r, m.w = 0, len(stream)
		if err := m.takeAll(); err != nil {
			b.Fatal(err)
		}
	}
	if m.orders[0].next != seq {
		b.Fatalf("%d of %d were understood", m.orders[0].next, seq)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/joined, "ns/delivery")
}
