package wire

import "strings"

// words collects the words of a request by ActionHero's rule: see [Request.Room].
type words struct {
	n      int
	second string
	text   []byte // the words after the room, once there are two
}

func (w *words) add(r *Request, value []byte) {
	w.n++
	switch {
	case w.n == 1:
		r.RoomGiven = true
		if !falsy(value) {
			r.Room = wordOf(value)
		}
	case w.n == 2:
		w.second = wordOf(value)
	default:
		if w.text == nil {
			w.text = append(w.text, w.second...)
		}
		w.text = appendText(append(w.text, ' '), value, "")
	}
}

// wordOf returns the text of a word; the text of null is empty.
func wordOf(value []byte) string {
	if value[0] == '"' {
		return unquote(value)
	}
	return string(appendText(nil, value, ""))
}

// end sets the fields that depend on all words. v is nil if the verb is unknown.
func (w *words) end(r *Request, v *Verb) {
	r.Text = w.second
	if w.text != nil {
		r.Text = string(w.text)
	}
	if v != nil {
		r.setParam(v, r.Room, w.second)
	}
}

// setParam sets Key and Value for the verbs of parameters. If the first word is
// "k=v=w", it sets k to v, like ActionHero.
func (r *Request) setParam(v *Verb, first, second string) {
	if v.pair == 0 {
		return
	}
	r.Key = first
	if v.pair == 1 {
		return
	}
	r.Value = second
	if key, rest, ok := strings.Cut(first, "="); ok {
		r.Key = key
		r.Value, _, _ = strings.Cut(rest, "=")
	}
}
