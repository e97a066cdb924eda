package wire

import (
	"bytes"
	"errors"
	"iter"
)

// Errors that [Lines] returns in place of a line.
var (
	ErrLong = errors.New("DATA_LENGTH_TOO_LONG") // the text of ActionHero
	ErrQuit = errors.New("quit")                 // Ctrl-D, or telnet's Ctrl-C
)

// Lines splits the bytes of one client into lines. The zero Lines is ready to use. It is
// not safe for concurrent use.
type Lines struct {
	Max       int    // bytes of a line without its end; 0: 64 KiB
	Delimiter string // ends a line; "": \n, \r\n or \r

	pending   []byte // of a line that has not ended; while dropping, a possible part of its delimiter
	checked   int    // bytes of pending that are complete characters of valid UTF-8
	dropping  bool   // the current line was refused: ignore the rest of it
	blank     int    // blank lines in the last Feed
	delimiter []byte
}

const defaultMax = 64 << 10

// maxKept is the largest buffer that is kept for the next line.
const maxKept = 4 << 10

var ctrlC = []byte{0xff, 0xf4, 0xff, 0xfd, 0x06}

// Feed returns the lines that end in chunk, the next bytes of the client, in order and
// without their ends. It skips blank lines. A line is valid until the next one.
//
// Instead of a line, Feed returns ErrLong once a line is longer than Max, and ErrUTF8
// once a line is not valid UTF-8; it does not wait for the end of such a line. It
// returns ErrQuit if chunk is exactly Ctrl-D, or the Ctrl-C of telnet.
//
// A caller that leaves the loop early must not call Feed again.
func (l *Lines) Feed(chunk []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if len(chunk) == 1 && chunk[0] == 4 || bytes.Equal(chunk, ctrlC) {
			yield(nil, ErrQuit)
			return
		}
		l.blank = 0
		from := 0 // no delimiter begins before this index
		if len(l.pending) > 0 {
			from = max(0, len(l.pending)-l.tail())
			l.pending = append(l.pending, chunk...)
			chunk = l.pending
		}
		for {
			if from == 0 && l.Delimiter == "" && !l.dropping {
				chunk = bytes.TrimLeft(chunk, "\r\n") // empty lines, and the second half of \r\n
			}
			n, width := l.end(chunk[from:])
			if n < 0 {
				break
			}
			if !l.emit(chunk[:from+n], yield) {
				return
			}
			chunk = chunk[from+n+width:]
			from, l.checked = 0, 0
		}
		if !l.dropping {
			if err := l.check(chunk, false); err != nil {
				l.dropping = true
				if !yield(nil, err) {
					return
				}
			}
		}
		l.store(chunk)
	}
}

// Blank returns the number of blank lines that the last Feed has skipped. Consecutive
// line ends do not count: they are cheap, and other blank lines cost as much as any
// line.
func (l *Lines) Blank() int { return l.blank }

// Long reports whether the current line, which has not ended, is longer than 4 KiB.
func (l *Lines) Long() bool { return len(l.pending) > maxKept }

// Pending returns the bytes of memory of the line that has begun and not ended; 0 if there is none.
func (l *Lines) Pending() int {
	if len(l.pending) == 0 {
		return 0
	}
	return cap(l.pending)
}

// end returns the index and the length of the first line end in b. If there is none, n
// is -1.
func (l *Lines) end(b []byte) (n, width int) {
	if l.Delimiter == "" {
		return bytes.IndexAny(b, "\r\n"), 1
	}
	if l.delimiter == nil {
		l.delimiter = []byte(l.Delimiter)
	}
	return bytes.Index(b, l.delimiter), len(l.delimiter)
}

// tail is the number of bytes at the end that may be the beginning of a delimiter.
func (l *Lines) tail() int { return max(0, len(l.Delimiter)-1) }

func (l *Lines) max() int {
	if l.Max <= 0 {
		return defaultMax
	}
	return l.Max
}

// emit yields a line, unless the line is blank or was refused before.
func (l *Lines) emit(line []byte, yield func([]byte, error) bool) bool {
	if l.dropping {
		l.dropping = false
		return true
	}
	if err := l.check(line, true); err != nil {
		return yield(nil, err)
	}
	if len(bytes.TrimLeft(line, " ")) == 0 {
		l.blank++
		return true
	}
	return yield(line, nil)
}

// check returns the reason why a line is refused, or nil. If there are two reasons, it
// returns the one whose byte comes first. If the line has not ended, it ignores the
// last bytes, which may belong to the delimiter.
func (l *Lines) check(line []byte, ended bool) error {
	if !ended {
		line = line[:max(l.checked, len(line)-l.tail())]
	}
	long := len(line) > l.max()
	if long {
		line = line[:l.max()]
	}
	valid, ok := ValidPrefix(line[min(l.checked, len(line)):]) // Max may have changed
	l.checked += valid
	switch {
	case !ok, ended && !long && l.checked < len(line):
		return ErrUTF8
	case long:
		return ErrLong
	}
	return nil
}

// store keeps rest for the next chunk. rest may overlap pending.
func (l *Lines) store(rest []byte) {
	if l.dropping {
		rest, l.checked = rest[max(0, len(rest)-l.tail()):], 0
	}
	if len(rest) == 0 && cap(l.pending) > maxKept {
		l.pending = nil
		return
	}
	l.pending = append(l.pending[:0], rest...)
}
