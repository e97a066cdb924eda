package client

import (
	"bytes"
	"maps"
	"slices"
	"sync"
)

// Handlers are functions for the events of a client, see Options. Those that are nil are skipped.
type Handlers struct {
	OnMessage   func(Message)
	OnEdited    func(Message)
	OnRetracted func(Retraction)
	OnPresence  func(Presence)
	OnNotice    func(Notice)
	OnConnected func(id string, resumed bool)
	OnGap       func(room string)
	OnLeft      func(room string, reason error)
	OnState     func(StateChange)
	OnOutcome   func(Outcome)
}

// Handle adds handlers, which the client calls after those of Options and those that were added
// before, from the next event on. remove removes them; a handler may call it, so that it is
// called only once. It may be called several times.
func (c *Client) Handle(h Handlers) (remove func()) { return c.handlers.add(h) }

// handlers returns the handlers of the options.
func (o *Options) handlers() Handlers {
	return Handlers{o.OnMessage, o.OnEdited, o.OnRetracted, o.OnPresence, o.OnNotice, o.OnConnected, o.OnGap, o.OnLeft, o.OnState, o.OnOutcome}
}

// handlerList has the handlers of a client. It is safe for concurrent use.
type handlerList struct {
	mu  sync.Mutex
	all []*Handlers // replaced as a whole
}

func (l *handlerList) add(h Handlers) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	added := &h
	l.all = append(slices.Clip(l.all), added)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = slices.DeleteFunc(slices.Clone(l.all), func(h *Handlers) bool { return h == added })
	}
}

// each calls f with all handlers, except those that are removed meanwhile.
func (l *handlerList) each(f func(*Handlers)) {
	for _, h := range l.current() {
		if slices.Contains(l.current(), h) {
			f(h)
		}
	}
}

func (l *handlerList) current() []*Handlers {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// queue queues an event for all handlers.
func (c *Client) queue(event func(*Handlers)) {
	c.events.push(func() { c.handlers.each(event) }, nil)
}

// clone returns a copy with bytes and a map of its own.
func (m Message) clone() Message {
	m.Message, m.Extra = bytes.Clone(m.Message), maps.Clone(m.Extra)
	return m
}
