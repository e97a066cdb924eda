package main

// automaton finds all listed patterns in one pass (Aho-Corasick). A state is a prefix of a
// pattern; state 0 is the empty prefix. States are stored compactly, because thousands of
// words need tens of thousands of states.
type automaton struct {
	states []state
	first  [128]int32 // the next states of ASCII classes from state 0, where most steps begin
	ready  bool
}

type state struct {
	class          rune  // that leads from the parent to this state
	child, sibling int32 // the first child, and the next sibling; 0: none
	fail           int32 // the state of the longest proper suffix
	hit            int32 // this state or the nearest along fail at which a pattern ends; 0: none
	word           int32 // the last pattern that ends here, plus 1; 0: none
}

// next returns the state to which a class leads from a state; 0 if there is none.
func (a *automaton) next(now int32, class rune) int32 {
	for to := a.states[now].child; to != 0; to = a.states[to].sibling {
		if a.states[to].class == class {
			return to
		}
	}
	return 0
}

// add adds the classes of a pattern. It returns 1 plus the number of the pattern with the same
// classes that was added before, or 0 if there is none.
func (a *automaton) add(p []sign, word int32) (alike int32) {
	if len(a.states) == 0 {
		a.states = make([]state, 1)
	}
	now := int32(0)
	for i := range p {
		to := a.next(now, p[i].class)
		if to == 0 {
			to = int32(len(a.states))
			a.states = append(a.states, state{class: p[i].class, sibling: a.states[now].child})
			a.states[now].child = to
		}
		now = to
	}
	alike, a.states[now].word = a.states[now].word, word+1
	a.ready = false
	return alike
}

// finish prepares the automaton for step. Call it after the last add.
func (a *automaton) finish() {
	if a.ready {
		return
	}
	if len(a.states) == 0 {
		a.states = make([]state, 1)
	}
	queue := make([]int32, 1, len(a.states))
	for k := 0; k < len(queue); k++ {
		from := queue[k]
		for to := a.states[from].child; to != 0; to = a.states[to].sibling {
			s := &a.states[to]
			s.fail = 0
			if from != 0 {
				s.fail = a.step(a.states[from].fail, s.class)
			}
			s.hit = a.states[s.fail].hit
			if s.word > 0 {
				s.hit = to
			}
			queue = append(queue, to)
		}
	}
	a.first = [128]int32{}
	for to := a.states[0].child; to != 0; to = a.states[to].sibling {
		if class := a.states[to].class; class < int32(len(a.first)) {
			a.first[class] = to
		}
	}
	a.ready = true
}

// step returns the state after one more class.
func (a *automaton) step(now int32, class rune) int32 {
	for now != 0 {
		if to := a.next(now, class); to != 0 {
			return to
		}
		now = a.states[now].fail
	}
	if a.ready && class < int32(len(a.first)) {
		return a.first[class]
	}
	return a.next(0, class)
}
