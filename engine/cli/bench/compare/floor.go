package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The floor is a minimal server. It answers only the requests of package bench, does not
// validate them, and has no rules and no limits. It encodes each message once. Each member
// has a queue and a goroutine that writes the whole queue in one write. This is the cheapest
// known way to deliver messages without a deliberate delay.

func serveFloor(log io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "serving http=%s\n", l.Addr())
	rooms := &floorRooms{members: map[string][]*floorMember{}}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go rooms.serve(c)
	}
}

type floorRooms struct {
	mu      sync.RWMutex
	members map[string][]*floorMember
}

// floorMember is one connection.
type floorMember struct {
	net.Conn
	mu    sync.Mutex
	queue [][]byte
	wake  chan struct{}
}

// serve carries out the requests of a client until it disconnects.
func (f *floorRooms) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 512)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if string(line) == "\r\n" {
			break
		}
	}
	m := &floorMember{Conn: c, wake: make(chan struct{}, 1)}
	go m.write()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
	for {
		request, err := readFloorFrame(r)
		if err != nil {
			return
		}
		f.do(m, request)
	}
}

var floorOK = floorFrame([]byte(`{"status":"OK","context":"response","messageId":1}`))

// do joins a room, or sends a message to it.
func (f *floorRooms) do(m *floorMember, request []byte) {
	room := string(between(request, `"room":"`, `"`))
	if bytes.HasPrefix(request, []byte(`{"event":"roomAdd"`)) {
		f.mu.Lock()
		f.members[room] = append(f.members[room], m)
		f.mu.Unlock()
		m.send(floorOK)
		return
	}
	message := floorFrame(fmt.Appendf(nil, `{"message":"%s","room":"%s","from":"2f7b6f0e-3f0a-4a53-9d3f-0d1f0c6b7a11","context":"user","sentAt":1700000000000}`,
		between(request, `"message":"`, `"`), room))
	f.mu.RLock()
	members := f.members[room]
	f.mu.RUnlock()
	for _, each := range members {
		each.send(message)
	}
	m.send(floorOK)
}

func (m *floorMember) send(frame []byte) {
	m.mu.Lock()
	m.queue = append(m.queue, frame)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// write waits for frames in the queue and sends all of them in one write.
func (m *floorMember) write() {
	var spare [][]byte
	var all []byte
	for range m.wake {
		m.mu.Lock()
		frames := m.queue
		m.queue = spare[:0]
		m.mu.Unlock()
		switch len(frames) {
		case 0:
		case 1:
			m.Write(frames[0])
		default:
			all = all[:0]
			for _, f := range frames {
				all = append(all, f...)
			}
			m.Write(all)
		}
		clear(frames)
		spare = frames
	}
}

// readFloorFrame reads a frame of a client whose mask is 0.
func readFloorFrame(r *bufio.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil, err
	}
	n := int(head[1] & 0x7f)
	switch n {
	case 126:
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(head[:]))
	case 127:
		return nil, errors.New("more than 64 KiB")
	}
	payload := make([]byte, 4+n) // with the mask
	_, err := io.ReadFull(r, payload)
	return payload[4:], err
}

func floorFrame(payload []byte) []byte {
	head := []byte{0x81, byte(len(payload))}
	if len(payload) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(payload)))
	}
	return append(head, payload...)
}

// between returns the text in b between begin and the next end; nil if begin is not in b.
func between(b []byte, begin, end string) []byte {
	_, rest, _ := bytes.Cut(b, []byte(begin))
	text, _, _ := bytes.Cut(rest, []byte(end))
	return text
}
