package main

// automaton finds all listed patterns at once (Aho and Corasick). A state is what of them
// has been read; state 0 is nothing. It is small: thousands of words are tens of
// thousands of states.
type automaton struct {
	states []state
	first  [128]int32 // where classes of ASCII lead from state 0, from which most do
	ready  bool
}

type state struct {
	class          rune  // that leads here from the state above
	child, sibling int32 // the first state below, and the next beside; 0: none
	fail           int32 // of what was read the longest end that is a state too
	hit            int32 // itself or the nearest on the way of fails where a pattern ends; 0: none
	word           int32 // the last pattern that ends here, plus 1; 0: none does
}

// next is where a class leads from a state; 0: nowhere.
func (a *automaton) next(now int32, class rune) int32 {
	for to := a.states[now].child; to != 0; to = a.states[to].sibling {
		if a.states[to].class == class {
			return to
		}
	}
	return 0
}

// add has it find the classes of a pattern. It gives the pattern that is alike, and was added
// before, plus 1; 0: there is none.
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

// finish makes it ready for step, after the last add.
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

// step is the state after one class more.
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
