package script

import "slices"

// luaScopes finds the blocks of a Lua script in which moot is a local variable or a parameter. In a script with syntax errors it
// may find other blocks.
type luaScopes struct {
	open []luaScope // the blocks around the current token, the outermost first; the chunk has none
	top  bool       // the chunk has a local variable moot
	next bool       // the block that begins next has one
}

// luaScope is a block.
type luaScope struct {
	own  bool // it has a local variable or a parameter moot
	done bool // until was read: the block ends with the expression that follows
}

// hasOwn reports whether the name moot is that of a local variable at the current token.
func (s *luaScopes) hasOwn() bool {
	return s.top || slices.ContainsFunc(s.open, func(b luaScope) bool { return b.own })
}

// step moves to the token all[i].
func (s *luaScopes) step(all []luaToken, i int) {
	t := all[i]
	if t.kind != luaName || at(all, i-1).text == "." || at(all, i-1).text == ":" {
		return
	}
	switch t.text {
	case "function":
		s.begin(declares(all[i:], ")"))
		if at(all, i-1).is(luaName, "local") && at(all, i+1).is(luaName, "moot") {
			s.declareOutside()
		}
	case "local":
		s.endRepeat()
		if !at(all, i+1).is(luaName, "function") && declares(all[i+1:], "") && !isAlias(all[i:]) {
			s.declare()
		}
	case "for":
		s.endRepeat()
		s.next = declares(all[i+1:], "")
	case "do", "then", "repeat":
		s.endRepeat()
		s.begin(s.next)
		s.next = false
	case "else":
		s.end()
		s.begin(false)
	case "end", "elseif":
		s.end()
	case "until":
		if n := len(s.open); n > 0 {
			s.open[n-1].done = true
		}
	case "if", "while", "return", "goto", "break":
		s.endRepeat()
	}
}

func (s *luaScopes) begin(own bool) { s.open = append(s.open, luaScope{own: own}) }

// end ends a block, and the repeat blocks in it whose expression has ended.
func (s *luaScopes) end() {
	s.endRepeat()
	s.open = s.open[:max(0, len(s.open)-1)]
}

// endRepeat ends repeat blocks whose expression has ended, because a statement begins with a keyword. A statement that begins
// with another name counts as a part of the expression.
func (s *luaScopes) endRepeat() {
	for n := len(s.open); n > 0 && s.open[n-1].done; n-- {
		s.open = s.open[:n-1]
	}
}

// declare adds the variable to the current block.
func (s *luaScopes) declare() {
	if n := len(s.open); n > 0 {
		s.open[n-1].own = true
	} else {
		s.top = true
	}
}

// declareOutside adds the variable to the block around the current one.
func (s *luaScopes) declareOutside() {
	if n := len(s.open); n > 1 {
		s.open[n-2].own = true
	} else {
		s.top = true
	}
}

// declares reports whether the list of names at the beginning of tokens contains moot. If end is set, the list is the parameters
// of a function, in brackets.
func declares(tokens []luaToken, end string) bool {
	if end != "" {
		from := slices.IndexFunc(tokens, func(t luaToken) bool { return t.is(luaSign, "(") })
		tokens = tokens[from+1:]
	}
	for i := 0; i < len(tokens) && tokens[i].kind == luaName; i++ {
		if tokens[i].text == "moot" {
			return true
		}
		if at(tokens, i+1).text == "<" { // an attribute, such as <const>
			i += 3
		}
		if i++; at(tokens, i).text != "," {
			return false
		}
	}
	return false
}

// isAlias reports whether tokens begin with "local moot = moot", which gives the global variable a local one of its name.
func isAlias(tokens []luaToken) bool {
	after := at(tokens, 4)
	return at(tokens, 1).is(luaName, "moot") && at(tokens, 2).text == "=" && at(tokens, 3).is(luaName, "moot") &&
		(after.kind == luaName || after.text == ";" || after == luaToken{})
}
