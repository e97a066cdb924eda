package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault has the problems of one tenant's part of a configuration.
//
// The main file and the overrides are the operator's, except for what is under tenants.NAME:
// that is the tenant's. An included file is a part of the tenants that it defines. A problem
// of such a file as a whole, such as a mistake in its YAML, is one of each of them. A
// problem of a module of an included file is one of each tenant whose chain names the module.
type Fault struct {
	Tenant   string   // "": no tenant is known that depends on what is wrong
	Pos      Pos      // of the tenant; zero if only its name is known
	Match    Match    // as far as it is known
	Kept     bool     // the tenant is in Config.Tenants as before
	Problems Problems // at least one
}

// incomplete reports whether tenants or modules of an included file may be unknown.
func (l *load) incomplete() bool {
	return slices.ContainsFunc(l.parts, func(p *part) bool { return p.failed != nil || p.own.unread })
}

// tenant returns a tenant; c may be nil.
func (c *Config) tenant(name string) Tenant {
	if c == nil {
		return Tenant{}
	}
	return c.Tenants[name]
}

// module returns a module; c may be nil.
func (c *Config) module(name string) Module {
	if c == nil {
		return Module{}
	}
	return c.Modules[name]
}

// settling finds the tenants that have problems.
type settling struct {
	*load
	c       *Config
	by      map[definition]Problems // the problems; the key "" is the rest of the file
	used    map[definition]bool     // those that belong to a fault
	faults  map[string]*Fault
	reports map[contest]bool
}

// settle moves the problems of tenants to Faults, and replaces these tenants by those in use,
// or removes them. It returns true if a problem is the operator's.
func (l *load) settle(c *Config) bool {
	if l.unread {
		return true
	}
	s := &settling{load: l, c: c, by: map[definition]Problems{}, used: map[definition]bool{}, faults: map[string]*Fault{}, reports: map[contest]bool{}}
	for _, p := range l.problems {
		of := definition{p.File, keyOf(p.Path)}
		s.by[of] = append(s.by[of], p)
	}
	for _, p := range l.parts {
		s.file(p)
	}
	others := map[string][]definition{} // of names that no definition gets
	for _, d := range l.unused {
		if l.blamed[d.key] {
			others[d.key] = append(others[d.key], d)
		}
	}
	for name, t := range c.Tenants {
		if len(l.problems) == 0 { // as usual
			break
		}
		for _, d := range others[tenantKey(name)] {
			s.add(name, d)
		}
		if key := tenantKey(name); l.blamed[key] || l.home[key] != nil && l.home[key].own.blamed[key] {
			s.add(name, definition{t.Pos.File, key})
		}
	}
	s.modules()
	for s.claims() {
	}
	if l.operators() {
		return true
	}
	s.apply()
	return false
}

// operators reports whether a problem is the operator's.
func (l *load) operators() bool {
	if l.blamed[""] {
		return true
	}
	for key := range l.blamed {
		if strings.HasPrefix(key, "modules.") && l.home[key] == nil {
			return true
		}
	}
	return false
}

// add adds problems to the fault of a tenant.
func (s *settling) add(name string, from definition) {
	s.used[from] = true
	s.fault(name, s.by[from]...)
}

func (s *settling) fault(name string, problems ...Problem) {
	f := s.faults[name]
	if f == nil {
		t := s.c.Tenants[name]
		f = &Fault{Tenant: name, Pos: t.Pos, Match: t.Match}
		if was, ok := s.inUse.tenants()[name]; ok {
			f.Kept = true
			if f.Pos == (Pos{}) {
				f.Pos, f.Match = was.Pos, was.Match
			}
		}
		s.faults[name] = f
	}
	f.Problems = append(f.Problems, problems...)
}

func (c *Config) tenants() map[string]Tenant {
	if c == nil {
		return nil
	}
	return c.Tenants
}

// file adds the problems of a whole file to all of its tenants.
func (s *settling) file(p *part) {
	rest := definition{p.file.Written, ""}
	if p.failed != nil {
		s.by[rest] = Problems{s.unreadable(p)}
		s.used[definition{s.by[rest][0].File, ""}] = true
	} else if !p.own.blamed[""] && !p.own.unread {
		return
	}
	for name := range s.waiting {
		s.add(name, rest)
	}
	for name := range p.more.Tenants {
		if s.c.Tenants[name].Pos.File == p.file.Written {
			s.add(name, rest)
		}
	}
	for name, t := range s.inUse.tenants() {
		if _, elsewhere := s.c.Tenants[name]; !elsewhere && t.Pos.File == p.file.Written {
			s.add(name, rest)
		}
	}
	for name, match := range recovered(p.text) {
		if _, elsewhere := s.c.Tenants[name]; elsewhere || s.faults[name] != nil || check("name", name) != nil {
			continue
		}
		s.add(name, rest)
		s.faults[name].Match = match
		s.faults[name].Pos = Pos{File: p.file.Written}
	}
}

// modules adds the problems of modules of included files to the tenants whose chains name them, and
// removes these modules.
func (s *settling) modules() {
	bad := map[string]definition{}
	for key, p := range s.home {
		if strings.HasPrefix(key, "modules.") && (s.blamed[key] || p.own.blamed[key]) {
			bad[key] = definition{p.file.Written, key}
		}
	}
	lost := map[definition]bool{}
	for _, d := range s.unused {
		lost[d] = true
	}
	if len(bad)+len(lost) == 0 {
		return
	}
	for name, t := range s.c.Tenants {
		seen := map[string]bool{}
		for _, e := range t.Chain {
			key := moduleKey(e.Module)
			if seen[key] {
				continue
			}
			seen[key] = true
			if from, ok := bad[key]; ok {
				s.add(name, from)
			}
			if from := (definition{t.Pos.File, key}); lost[from] {
				s.add(name, from)
			}
		}
	}
	for name := range s.c.Modules {
		if _, ok := bad[moduleKey(name)]; ok {
			delete(s.c.Modules, name)
		}
	}
}

// claim is a tenant's host or path.
type claim struct {
	tenant string
	key    string // "host" or "path"
	number int    // in the list of that key
}

// right returns how strong the right of a claim is.
func (s *settling) right(c claim, text string) int {
	was := s.inUse.tenant(c.tenant).Match
	switch f := s.faults[c.tenant]; {
	case f != nil && f.Kept:
		return kept
	case s.home[tenantKey(c.tenant)] == nil:
		return operators
	case c.key == "host" && slices.Contains(was.Host, text), c.key == "path" && slices.Contains(was.Path, text):
		return before
	}
	return fresh
}

// place returns the place and the path of the setting.
func (s *settling) place(c claim) (Pos, string) {
	path := s.item(cursor{path: tenantKey(c.tenant)}.key("match").key(c.key).path, c.number)
	return s.pos(path), path
}

// The rights to a host or a path, weakest first.
const (
	fresh     = iota // it is new
	before           // the tenant has it in the configuration in use
	operators        // it is in the main file
	kept             // a tenant that stays as before has it
)

// claims finds hosts and paths that two tenants have. The tenant with the stronger right keeps it; if the rights are
// equal, both tenants fail. It returns true if a tenant that fails now stays as before: then it has its former hosts and
// paths, and claims must be called again.
func (s *settling) claims() (again bool) {
	hosts, paths := make(map[string]claim, len(s.c.Tenants)), make(map[string]claim, len(s.c.Tenants))
	for _, name := range sorted(s.c.Tenants) {
		match := s.c.Tenants[name].Match
		if f := s.faults[name]; f != nil && f.Kept {
			match = s.inUse.Tenants[name].Match
		}
		for i, text := range match.Host {
			again = s.claim(hosts, text, claim{name, "host", i}) || again
		}
		for i, text := range match.Path {
			again = s.claim(paths, text, claim{name, "path", i}) || again
		}
	}
	return again
}

// claim adds a claim. It returns true if a tenant that fails now stays as before.
func (s *settling) claim(taken map[string]claim, text string, c claim) (again bool) {
	first, ok := taken[text]
	if !ok || first.tenant == c.tenant {
		taken[text] = c
		return false
	}
	winner, loser := first, c
	best, right := s.right(first, text), s.right(c, text)
	if right > best {
		winner, loser = c, first
		best, right = right, best
	}
	taken[text] = winner
	if right == kept || s.contested(loser, text) {
		return false // tenants that stay as before have had theirs together
	}
	pos, path := s.place(loser)
	owner, _ := s.place(winner)
	problem := Problem{pos.File, pos.Line, path, oneLine(fmt.Sprintf("%s already belongs to tenant %s (%s): remove one of the two", s.shows(path, text), quote(winner.tenant), owner))}
	s.addProblem(problem)
	s.reports[contest{loser.tenant, text}] = true
	for _, one := range []claim{loser, winner} {
		if one.tenant == winner.tenant && best != right {
			continue
		}
		fails := s.faults[one.tenant] == nil
		s.fault(one.tenant, problem)
		again = again || fails && s.faults[one.tenant].Kept
	}
	return again
}

// contest is a host or path that a tenant does not get.
type contest struct{ tenant, text string }

func (s *settling) contested(c claim, text string) bool {
	return s.reports[contest{c.tenant, text}]
}

// apply sets the Faults, and replaces or removes their tenants.
func (s *settling) apply() {
	if len(s.unused) > 0 {
		s.addSecondDefinitions()
	}
	for name, f := range s.faults {
		if f.Kept {
			s.c.Tenants[name] = s.inUse.Tenants[name]
		} else {
			delete(s.c.Tenants, name)
		}
		if len(f.Problems) == 0 { // they are among those that are not reported
			f.Problems = Problems{{File: f.Pos.File, Line: f.Pos.Line, Path: tenantKey(name), Message: "has problems that are not shown, as there are too many"}}
		}
		f.Problems.sort()
		f.Problems = slices.Compact(f.Problems)
		s.c.Faults = append(s.c.Faults, *f)
	}
	for of, problems := range s.by {
		if _, known := s.faults[""]; !known && !s.used[of] && of.file != s.c.File.Written {
			s.c.Faults = append(s.c.Faults, Fault{Pos: Pos{problems[0].File, problems[0].Line}, Problems: problems})
		}
	}
	slices.SortFunc(s.c.Faults, func(a, b Fault) int {
		x, y := a.Problems[0], b.Problems[0]
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(a.Tenant, b.Tenant))
	})
}

// addSecondDefinitions adds the hosts and paths of the second definitions of tenants that are defined twice.
func (s *settling) addSecondDefinitions() {
	again := map[definition]bool{}
	for _, d := range s.unused {
		again[d] = true
	}
	for _, p := range s.parts {
		for name, t := range p.more.Tenants {
			if f := s.faults[name]; f != nil && again[definition{p.file.Written, tenantKey(name)}] {
				f.Match = Match{slices.Concat(f.Match.Host, t.Match.Host), slices.Concat(f.Match.Path, t.Match.Path)}
			}
		}
	}
}

// recovered returns the tenants of a file that is not valid YAML, as far as its lines show them: the keys below the
// line "tenants:", and the hosts and paths below their keys "match".
func recovered(text []byte) map[string]Match {
	found := map[string]Match{}
	var tenant string
	var match []string
	depth, inTenants := -1, false
	finish := func() {
		if tenant == "" {
			return
		}
		var more included
		l := newLoad(nil, disk{})
		l.decoder(Path{}).decode(&more, []byte("tenants:\n  "+tenant+":\n"+strings.Join(match, "\n")+"\n"))
		found[tenant] = more.Tenants[tenant].Match
		tenant, match = "", nil
	}
	inMatch := -1
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), " \t\r\n")
		content := strings.TrimLeft(line, " ")
		indent := len(line) - len(content)
		switch {
		case content == "" || content[0] == '#':
			continue
		case indent == 0:
			finish()
			inTenants, depth = strings.HasPrefix(content, "tenants:"), -1
			continue
		case !inTenants:
			continue
		case depth < 0:
			depth = indent
		}
		name, _, isKey := strings.Cut(content, ":")
		switch {
		case indent == depth && isKey:
			finish()
			tenant, inMatch = strings.Trim(name, `"'`), -1
		case inMatch >= 0 && indent > inMatch:
			match = append(match, line)
		case name == "match" && isKey:
			match, inMatch = append(match, line), indent
		default:
			inMatch = -1
		}
	}
	finish()
	return found
}
