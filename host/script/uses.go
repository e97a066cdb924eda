package script

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// Use is a use of a capability that the text of a script shows.
type Use struct {
	Capability   string // a grant, such as "kv" or "properties:role"; "properties" if the name of the property is computed
	Line, Column int    // of the first use, in the script, from 1
}

// What returns the part of a script's API that is used, such as "moot.kv".
func (u Use) What() string {
	if strings.HasPrefix(u.Capability, properties) {
		return setProperty
	}
	return "moot." + u.Capability
}

const (
	properties  = "properties"
	setProperty = "setProperty" // the method of a connection that needs it
)

// isCapability reports whether the member of moot with this name needs the capability of the same name.
func isCapability(name string) bool {
	return slices.Contains([]string{"kv", "rate", "rooms", "emit", "sanctions", "members", "identity", "amend"}, name)
}

// capabilityToSet returns the capability to set a property; name is "" if it is computed.
func capabilityToSet(name string) string {
	if name == "" || strings.Contains(name, ",") {
		return properties
	}
	return properties + ":" + name
}

// has reports whether list has a use of a capability.
func has(list []Use, capability string) bool {
	return slices.ContainsFunc(list, func(u Use) bool { return u.Capability == capability })
}

// marks are the names that esbuild writes in place of the global moot and of the property setProperty, so that they can be
// found in its output: it knows where a script has a variable of its own that is named moot. They depend on a digest of the
// script, so that a script cannot contain them.
type marks struct{ moot, set string }

func marksFor(source string) marks {
	sum := sha256.Sum256([]byte(source))
	end := "$" + hex.EncodeToString(sum[:12])
	return marks{"moot" + end, setProperty + end}
}

// unmark returns marked code with the names of the script.
func (m marks) unmark(code []byte) []byte {
	code = bytes.ReplaceAll(code, []byte(m.moot), []byte("moot"))
	return bytes.ReplaceAll(code, []byte(m.set), []byte(setProperty))
}

var (
	memberOf   = regexp.MustCompile(`^\s*(?:\??\.\s*(\w+)|(?:\?\.)?\["(\w+)"\])`)
	argumentOf = regexp.MustCompile(`^\(\s*(?:"([^"\\\n]+)"\s*[,)])?`)
)

// usesIn returns the uses of capabilities in marked code. position returns the position in the script of a line and a column
// of the code.
func (m marks) usesIn(code []byte, position func(line, column int) (int, int)) (uses []Use) {
	add := func(capability string, at int) {
		if !has(uses, capability) {
			line, column := position(lineAndColumn(code, at))
			uses = append(uses, Use{capability, line, column})
		}
	}
	for at := range occurrences(code, m.moot) {
		if found := memberOf.FindSubmatch(code[at+len(m.moot):]); found != nil {
			if name := string(found[1]) + string(found[2]); isCapability(name) {
				add(name, at)
			}
			continue
		}
		for _, name := range destructured(code[:at]) {
			if isCapability(name) {
				add(name, at)
			}
		}
	}
	var calls []int
	for at := range occurrences(code, m.set) {
		if at == 0 || code[at-1] != '.' || !bytes.HasPrefix(code[at+len(m.set):], []byte("(")) {
			return uses // the script has a property setProperty of its own, or passes the method on
		}
		calls = append(calls, at)
	}
	for _, at := range calls {
		add(capabilityToSet(string(argumentOf.FindSubmatch(code[at+len(m.set):])[1])), at)
	}
	return uses
}

// occurrences yields the offsets of name in code.
func occurrences(code []byte, name string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for at := 0; ; at += len(name) {
			next := bytes.Index(code[at:], []byte(name))
			if next < 0 {
				return
			}
			if at += next; !yield(at) {
				return
			}
		}
	}
}

// destructured returns the names that a pattern such as "const { kv, deny: no } = " takes; code ends with it.
func destructured(code []byte) (names []string) {
	code, ok := bytes.CutSuffix(bytes.TrimRight(code, " \n"), []byte("="))
	code = bytes.TrimRight(code, " \n")
	if !ok || !bytes.HasSuffix(code, []byte("}")) {
		return nil
	}
	depth, end := 0, len(code)-1
	for i := len(code) - 1; i >= 0; i-- {
		switch c := code[i]; {
		case c == '}' || c == ']' || c == ')':
			depth++
		case c == '{' || c == '[' || c == '(':
			depth--
		}
		if depth == 0 || depth == 1 && code[i] == ',' {
			name, _, _ := bytes.Cut(code[i+1:end], []byte(":"))
			name, _, _ = bytes.Cut(name, []byte("="))
			names, end = append(names, strings.Trim(string(name), "\" \n")), i
		}
		if depth == 0 {
			break
		}
	}
	return names
}

// lineAndColumn returns the line, from 1, and the column, from 0 in UTF-16 units, of an offset in code.
func lineAndColumn(code []byte, at int) (line, column int) {
	start := bytes.LastIndexByte(code[:at], '\n') + 1
	return bytes.Count(code[:at], []byte("\n")) + 1, len(utf16.Encode([]rune(string(code[start:at]))))
}
