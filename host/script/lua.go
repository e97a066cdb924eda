package script

import (
	"bytes"
	"strings"
)

// luaUses returns the uses of capabilities in a Lua script.
func luaUses(source []byte) (uses []Use) {
	add := func(capability string, t luaToken) {
		if !has(uses, capability) {
			uses = append(uses, Use{capability, t.line, t.column})
		}
	}
	all := luaTokens(source)
	var calls []luaToken
	var names luaScopes
	for i, t := range all {
		names.step(all, i)
		before, after := at(all, i-1), at(all, i+1)
		switch {
		case t.is(luaName, "moot") && isGlobal(all, i, names.hasOwn()):
			member := at(all, i+2)
			if (after.text == "." && member.kind == luaName || after.text == "[" && member.kind == luaString && at(all, i+3).text == "]") && isCapability(member.text) {
				add(member.text, t)
			}
		case !t.is(luaName, setProperty):
		case before.text != ":" || at(all, i-3).text == "function":
			return uses // the script has a setProperty of its own, or passes the method on
		default:
			calls = append(calls, t, argument(all, i+1))
		}
	}
	for i := 0; i < len(calls); i += 2 {
		add(capabilityToSet(calls[i+1].text), calls[i])
	}
	return uses
}

// isGlobal reports whether the name at all[i] is that of a global variable. own reports whether there is a local variable
// of this name.
func isGlobal(all []luaToken, i int, own bool) bool {
	switch at(all, i-1).text {
	case ".":
		return at(all, i-2).is(luaName, "_G")
	case ":":
		return false
	}
	return !own
}

// argument returns the first argument of a call whose arguments begin at all[i], if it is a text and no expression follows it.
func argument(all []luaToken, i int) luaToken {
	switch first := at(all, i); {
	case first.kind == luaString:
		return first
	case first.text == "(" && at(all, i+1).kind == luaString && (at(all, i+2).text == "," || at(all, i+2).text == ")"):
		return at(all, i+1)
	}
	return luaToken{}
}

func at(all []luaToken, i int) luaToken {
	if i < 0 || i >= len(all) {
		return luaToken{}
	}
	return all[i]
}

// luaToken is a name, a text or a sign of a Lua script. The text of a luaString is without its quotes, with its escapes.
type luaToken struct {
	kind         luaKind
	text         string
	line, column int
}

func (t luaToken) is(kind luaKind, text string) bool { return t.kind == kind && t.text == text }

type luaKind uint8

const (
	luaSign luaKind = iota // one byte; a number has several tokens
	luaName
	luaString
)

// luaTokens returns the tokens of a script, without its comments. It reads to the end of a script with mistakes, which the
// runner reports.
func luaTokens(source []byte) (all []luaToken) {
	line, start := 1, 0 // start is the offset of the line
	for i := 0; i < len(source); {
		t := luaToken{line: line, column: i - start + 1}
		n := 1
		switch c := source[i]; {
		case c == '\n' || c == ' ' || c == '\t' || c == '\r':
			t.kind = luaSpace
		case bytes.HasPrefix(source[i:], []byte("--")):
			t.kind = luaSpace
			if n = 2 + longBracket(source[i+2:]); n == 2 {
				n = len(source[i:]) - len(bytes.TrimLeftFunc(source[i:], func(r rune) bool { return r != '\n' }))
			}
		case c == '"' || c == '\'':
			n = quoted(source[i:])
			t.kind, t.text = luaString, strings.Trim(string(source[i:i+n]), string(c))
		case c == '[' && longBracket(source[i:]) > 0:
			n = longBracket(source[i:])
			text := strings.TrimLeft(string(source[i+1:i+n]), "=")
			level := n - 1 - len(text)
			t.kind, t.text = luaString, strings.TrimPrefix(text[1:max(1, len(text)-level-2)], "\n")
		case isNameByte(c) && (c < '0' || c > '9'):
			for n < len(source)-i && isNameByte(source[i+n]) {
				n++
			}
			t.kind, t.text = luaName, string(source[i:i+n])
		default:
			t.text = string(c)
		}
		if t.kind != luaSpace {
			all = append(all, t)
		}
		if lines := bytes.Count(source[i:i+n], []byte("\n")); lines > 0 {
			line, start = line+lines, i+bytes.LastIndexByte(source[i:i+n], '\n')+1
		}
		i += n
	}
	return all
}

// luaSpace is the kind of what is not a token.
const luaSpace luaKind = 255

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted returns the length of a text in quotes at the beginning of source.
func quoted(source []byte) int {
	for i := 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
		case source[0], '\n':
			return i + 1
		}
	}
	return len(source)
}

// longBracket returns the length of a text or comment such as [[x]] or [==[x]==] at the beginning of source; 0 if there is none.
func longBracket(source []byte) int {
	level := 0
	for level+1 < len(source) && source[0] == '[' && source[level+1] == '=' {
		level++
	}
	if level+1 >= len(source) || source[0] != '[' || source[level+1] != '[' {
		return 0
	}
	end := bytes.Index(source, []byte("]"+strings.Repeat("=", level)+"]"))
	if end < 0 {
		return len(source)
	}
	return end + level + 2
}
