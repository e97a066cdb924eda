package moot

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// Layout of the result slots and of a variant: see ABI.md.
const (
	resultCode         = 32
	resultReason       = 36
	resultMessage      = 44
	resultKind         = 52
	resultExtra        = 56
	resultRoom         = 64
	resultFrom         = 72
	resultSentAt       = 80
	resultReply        = 88
	resultVariants     = 96
	resultVariantCount = 100
	resultTTL          = 104
	resultAsk          = 112
	resultAskBody      = 120
	resultState        = 128

	variantMessage = 0
	variantKind    = 8
	variantExtra   = 12
	variantSize    = 20

	maxVariants    = 253
	verdictDrop    = 1
	verdictVariant = 2
)

// instance is a module with the results of its last call: it keeps the memory that
// the result slots point to until the next call.
type instance struct {
	memory
	module   Module
	host     Host
	event    Event
	receiver Connection
	recent   recent

	last     Verdict
	variants []variant
	index    map[variant]byte // to verdict byte
	table    []byte
}

// variant is another form of a message, for some receivers.
type variant struct {
	kind        uint32
	text, extra string
}

func (k *variant) is(v *Verdict) bool {
	return k.kind == v.kind && k.text == v.text && k.extra == v.extra
}

// init passes the config to the module and runs its Init.
func (g *instance) init(config []byte) error {
	if len(g.module.Asks) > 0 && g.module.OnAnswer == nil {
		return errors.New("the module has Asks and no OnAnswer")
	}
	if g.module.Config != nil {
		if err := g.module.Config(config); err != nil {
			return err
		}
	} else if s := string(config); s != "" && s != "{}" && s != "null" {
		return errors.New("this module takes no config")
	}
	if g.module.Init != nil {
		return g.module.Init()
	}
	return nil
}

// begin makes the event of the frame at the beginning of frame.
func (g *instance) begin(frame []byte) *Event {
	e := &g.event
	*e = Event{Host: g.host, frame: frame}
	e.blob = blob{e.at(frameEvent), &g.recent}
	e.conn.blob = blob{e.at(frameConnection), &g.recent}
	g.reset()
	return e
}

// answered handles the answer to an ask.
func (g *instance) answered(frame []byte) int32 {
	e := g.begin(frame)
	if g.module.OnAnswer == nil {
		return guestError
	}
	return g.answer(g.module.OnAnswer(e, &Answer{blob{e.at(frameAnswer), &g.recent}}))
}

// call handles the hook that the frame names.
func (g *instance) call(frame []byte) int32 {
	e := g.begin(frame)
	m := &g.module
	switch e.Hook() {
	case 1:
		return g.ask(m.OnConnect)
	case 2:
		return g.ask(m.OnJoin)
	case 3:
		return g.ask(m.OnSayReceive)
	case 4:
		return g.say()
	case 5:
		return g.ask(m.OnLeave)
	case 6:
		return g.ask(m.OnDisconnect)
	case 7:
		name := e.blob.field(6)
		for i := range m.Actions {
			if m.Actions[i].Name == string(name) {
				return g.ask(m.Actions[i].Run)
			}
		}
	}
	return allow
}

func (g *instance) ask(handler func(*Event) Verdict) int32 {
	if handler == nil {
		return allow
	}
	return g.answer(handler(&g.event))
}

// say calls OnSay for each receiver. If all verdicts are equal, that verdict is the
// answer; otherwise each receiver gets a byte, and equal rewrites share a variant.
func (g *instance) say() int32 {
	e, m := &g.event, &g.module
	if m.OnSayAll != nil || m.OnSay == nil {
		return g.ask(m.OnSayAll)
	}
	n := e.u32(frameReceivers)
	if n == 0 {
		return g.answer(m.OnSay(e, nil))
	}
	tab, verdicts := e.frame[e.u32(frameReceiverTab):], e.frame[e.u32(frameVerdicts):][:n]
	first, same := Verdict{}, true
	for i := range verdicts {
		g.receiver.blob = blob{e.frame[binary.LittleEndian.Uint32(tab[4*i:]):], &g.recent}
		v := m.OnSay(e, &g.receiver)
		if v.answer == hold || v.answer == ask { // an error of the module
			return v.answer
		}
		b, ok := g.verdictByte(&v)
		if !ok { // the host calls again, with fewer receivers
			binary.LittleEndian.PutUint32(e.frame[resultVariantCount:], maxVariants+1)
			return perReceiver
		}
		verdicts[i] = b
		if i == 0 {
			first = v
		}
		same = same && v.answer == first.answer && b == verdicts[0]
	}
	if same {
		first.envelope = nil // a variant has no envelope either
		return g.answer(first)
	}
	g.putVariants(e.frame)
	return perReceiver
}

// verdictByte returns the byte of a receiver's verdict; false if there are too many
// different verdicts.
func (g *instance) verdictByte(v *Verdict) (b byte, ok bool) {
	switch v.answer {
	case deny, drop:
		return verdictDrop, true
	case allow, allowEnd:
		return 0, true
	}
	n := len(g.variants)
	if n > 0 && g.variants[n-1].is(v) {
		return byte(verdictVariant + n - 1), true
	}
	k := variant{v.kind, v.text, v.extra}
	if b, ok := g.index[k]; ok {
		return b, true
	}
	if n == maxVariants {
		return 0, false
	}
	if g.index == nil {
		g.index = make(map[variant]byte)
	}
	g.variants = append(g.variants, k)
	g.index[k] = byte(verdictVariant + n)
	return g.index[k], true
}

func (g *instance) reset() {
	clear(g.variants)
	clear(g.index)
	g.variants, g.last = g.variants[:0], Verdict{}
}

// answer writes v into the result slots and returns the hook's result.
func (g *instance) answer(v Verdict) int32 {
	f := g.event.frame
	if binary.LittleEndian.Uint16(f[frameMinor:]) == 0 { // the host knows neither hold nor ask
		switch v.answer {
		case hold:
			v.answer = deny
		case ask:
			v = Verdict{answer: deny}
		}
	}
	g.last = v
	switch v.answer {
	case allow, allowEnd:
		g.put(f, resultReply, v.text)
	case deny:
		binary.LittleEndian.PutUint32(f[resultCode:], v.code)
		g.put(f, resultReason, v.text)
	case hold:
		g.put(f, resultReason, v.text)
		if v.envelope != nil {
			binary.LittleEndian.PutUint64(f[resultTTL:], uint64(v.envelope.ttl))
		}
	case ask:
		g.put(f, resultAskBody, v.text)
		if v.envelope != nil {
			g.put(f, resultAsk, v.envelope.ask)
			g.put(f, resultState, v.envelope.state)
		}
	case rewritten:
		g.put(f, resultMessage, v.text)
		binary.LittleEndian.PutUint32(f[resultKind:], v.kind)
		g.put(f, resultExtra, v.extra)
		if v.envelope != nil {
			g.put(f, resultRoom, v.envelope.room)
			g.put(f, resultFrom, v.envelope.from)
			binary.LittleEndian.PutUint64(f[resultSentAt:], uint64(v.envelope.sentAt))
		}
	}
	return v.answer
}

func (g *instance) putVariants(frame []byte) {
	g.table = append(g.table[:0], make([]byte, variantSize*len(g.variants))...)
	for i, v := range g.variants {
		t := g.table[variantSize*i:]
		g.put(t, variantMessage, v.text)
		binary.LittleEndian.PutUint32(t[variantKind:], v.kind)
		g.put(t, variantExtra, v.extra)
	}
	table := unsafe.String(unsafe.SliceData(g.table), len(g.table))
	binary.LittleEndian.PutUint32(frame[resultVariants:], g.pointer(table))
	binary.LittleEndian.PutUint32(frame[resultVariantCount:], uint32(len(g.variants)))
}

func (g *instance) put(b []byte, slot int, s string) {
	if s == "" {
		return
	}
	binary.LittleEndian.PutUint32(b[slot:], g.pointer(s))
	binary.LittleEndian.PutUint32(b[slot+4:], uint32(len(s)))
}
