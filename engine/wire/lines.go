package wire

import (
	"bytes"
	"errors"
	"iter"
)

// What may come out of [Lines] in place of a line.
var (
	ErrLong = errors.New("DATA_LENGTH_TOO_LONG") // ActionHero's name for it
	ErrQuit = errors.New("quit")                 // Ctrl-D, or telnet's Ctrl-C
)

// Lines makes lines of the bytes that come from one client. The zero Lines is
// ready to use. It is for one goroutine.
type Lines struct {
	Max       int    // bytes of a line without its end; 0: 64 KiB
	Delimiter string // what ends a line; "": \n, \r\n or \r

	pending   []byte // of a line that has not ended; while dropping, what may be part of its end
	whole     int    // bytes of pending that are whole characters of valid UTF-8
	dropping  bool   // the line that comes was refused, and the rest of it is passed over
	blank     int    // lines that the last Feed passed over
	delimiter []byte
}

const defaultMax = 64 << 10

// keep is how large a buffer is kept for the next long line.
const keep = 4 << 10

var ctrlC = []byte{0xff, 0xf4, 0xff, 0xfd, 0x06}

// Feed takes the next bytes and gives the lines that they end, in order, without
// their ends; blank ones are passed over. A line is valid until the next one.
// In place of a line there may be an error: ErrLong, as soon as a line is
// longer than Max, or ErrUTF8, as soon as it cannot be valid UTF-8, however much
// of the line is still to come; or ErrQuit, if chunk is just that, as a terminal
// sends it.
//
// The loop may be left early only if Feed is not called again.
func (l *Lines) Feed(chunk []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if len(chunk) == 1 && chunk[0] == 4 || bytes.Equal(chunk, ctrlC) {
			yield(nil, ErrQuit)
			return
		}
		l.blank = 0
		from := 0 // nothing before it can begin an end
		if len(l.pending) > 0 {
			from = max(0, len(l.pending)-l.tail())
			l.pending = append(l.pending, chunk...)
			chunk = l.pending
		}
		for {
			if from == 0 && l.Delimiter == "" && !l.dropping {
				chunk = bytes.TrimLeft(chunk, "\r\n") // cheap, and the second half of \r\n
			}
			n, width := l.end(chunk[from:])
			if n < 0 {
				break
			}
			if !l.give(chunk[:from+n], yield) {
				return
			}
			chunk = chunk[from+n+width:]
			from, l.whole = 0, 0
		}
		if !l.dropping {
			if err := l.wrong(chunk, false); err != nil {
				l.dropping = true
				if !yield(nil, err) {
					return
				}
			}
		}
		l.store(chunk)
	}
}

// Blank is how many blank lines the last Feed passed over, each for the price of a line.
// Ends that follow one another cost next to nothing, and do not count.
func (l *Lines) Blank() int { return l.blank }

// Kept reports whether much is kept of a line that has not ended: more than a
// person types.
func (l *Lines) Kept() bool { return len(l.pending) > keep }

// end finds the end of the first line of b: its place, -1 if there is none, and
// its width.
func (l *Lines) end(b []byte) (n, width int) {
	if l.Delimiter == "" {
		return bytes.IndexAny(b, "\r\n"), 1
	}
	if l.delimiter == nil {
		l.delimiter = []byte(l.Delimiter)
	}
	return bytes.Index(b, l.delimiter), len(l.delimiter)
}

// tail is how many of the last bytes may belong to an end that is not complete.
func (l *Lines) tail() int { return max(0, len(l.Delimiter)-1) }

func (l *Lines) max() int {
	if l.Max <= 0 {
		return defaultMax
	}
	return l.Max
}

func (l *Lines) give(line []byte, yield func([]byte, error) bool) bool {
	if l.dropping {
		l.dropping = false
		return true
	}
	if err := l.wrong(line, true); err != nil {
		return yield(nil, err)
	}
	if len(bytes.TrimLeft(line, " ")) == 0 {
		l.blank++
		return true
	}
	return yield(line, nil)
}

// wrong says why a line is refused, as far as it has come; of two reasons the one whose
// byte came first. The last bytes of a line that has not ended may be of its end.
func (l *Lines) wrong(line []byte, ended bool) error {
	if !ended {
		line = line[:max(l.whole, len(line)-l.tail())]
	}
	long := len(line) > l.max()
	if long {
		line = line[:l.max()]
	}
	whole, ok := ValidPrefix(line[min(l.whole, len(line)):]) // Max may be another now
	l.whole += whole
	switch {
	case !ok, ended && !long && l.whole < len(line):
		return ErrUTF8
	case long:
		return ErrLong
	}
	return nil
}

// store keeps rest, which may be part of pending, for the next chunk.
func (l *Lines) store(rest []byte) {
	if l.dropping {
		rest, l.whole = rest[max(0, len(rest)-l.tail()):], 0
	}
	if len(rest) == 0 && cap(l.pending) > keep {
		l.pending = nil
		return
	}
	l.pending = append(l.pending[:0], rest...)
}
