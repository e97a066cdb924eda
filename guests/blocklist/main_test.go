package main

import "testing"

func TestMask(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"nothing here", "nothing here"},
		{"oh darn", "oh ****"},
		{"DARN, Darn; darn!", "****, ****; ****!"},
		{"darned undarn darn2", "darned undarn darn2"},
		{"très BÊTE", "très ****"},
		{"Straẞe straße", "****** ******"},
		{"\u212Aelvin ſin", "****** ***"},
		{"what the heck?", "what *** ****?"},
		{"what the\t-heck", "what ***\t-****"},
		{"the end, the heck no", "the end, *** **** **"},
		{"the the heck", "the *** ****"},
		{"плохо ПЛОХО", "***** *****"},
		{"bad \xff darn", "bad \xff ****"},
	}
	var l list
	for _, w := range []string{"darn", "bête", "straße", "kelvin", "sin", "the heck", "the heck no", "Плохо"} {
		if err := l.add(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range tests {
		if got := l.mask(test.text); got != test.want {
			t.Errorf("mask(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}
