package wire

import "strings"

// words gathers the words of a request, in ActionHero's sense, while they come.
type words struct {
	n      int
	second string
	text   []byte // of the words behind the room, once there are two
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

// wordOf is the text of a word; that of null is empty.
func wordOf(value []byte) string {
	if value[0] == '"' {
		return unquote(value)
	}
	return string(appendText(nil, value, ""))
}

func (w *words) end(r *Request) {
	r.Text = w.second
	if w.text != nil {
		r.Text = string(w.text)
	}
	r.setParam(r.Room, w.second)
}

// setParam gives the verbs of parameters their words. One that is "k=v=w" sets
// k to v, as ActionHero does.
func (r *Request) setParam(first, second string) {
	switch r.Verb {
	case "paramAdd":
		r.Key, r.Value = first, second
		if key, rest, ok := strings.Cut(first, "="); ok {
			r.Key = key
			r.Value, _, _ = strings.Cut(rest, "=")
		}
	case "paramDelete", "paramView":
		r.Key = first
	}
}
