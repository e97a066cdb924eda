package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

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

func TestLeetAndLookalikes(t *testing.T) {
	l := list{alphabet: alphabet{leet: true, lookalikes: true}}
	for _, w := range []string{"darn", "ship", "fail", "bête", "плохо", "455", "what the heck"} {
		if err := l.add(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ text, want string }{
		{"d4rn D@RN! darn!", "**** ****! ****!"},
		{"5h1p $h!p sh|p !ship", "**** **** **** !****"},
		{"fall fa1l falls", "fall **** falls"},
		{"455 @ss 4SS 555", "*** @ss 4SS 555"},
		{"dаrn ｄａｒｎ 𝐝𝐚𝐫𝐧 ⓓⓐⓡⓝ", "**** **** **** ****"}, // the first has a Cyrillic a
		{"d\u0301arn dar\u200bn d\u00adarn", "**** **** ****"},
		{"bete BÊTE be\u0302te", "**** **** ****"},
		{"плохо пл0хо", "***** *****"},
		{"wh4t - the h3ck", "**** - *** ****"},
		{"undarned darning", "undarned darning"},
	} {
		if got := l.mask(test.text); got != test.want {
			t.Errorf("mask(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestInside(t *testing.T) {
	l := list{inside: true}
	for _, w := range []string{"she", "he", "hers", "his"} {
		if err := l.add(w); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := l.mask("ushers xhisx theta she he-rs"), "u***** x***x t**ta *** **-rs"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzFind checks that a search for all words finds the same places as a separate search for each word.
func FuzzFind(f *testing.F) {
	f.Add("darn d4rn undarned", true)
	f.Add("ab aba ba b", false)
	words := []string{"a", "ab", "aba", "bab", "b a", "d", "darn"}
	f.Fuzz(func(t *testing.T, text string, inside bool) {
		all := list{inside: inside, alphabet: alphabet{leet: true, lookalikes: true}}
		var one []span
		for _, w := range words {
			l := list{inside: inside, alphabet: all.alphabet}
			if all.add(w) != nil || l.add(w) != nil {
				t.Fatal(w)
			}
			one = append(one, l.find(text)...)
		}
		if got, want := all.find(text), merged(one); !slices.Equal(got, want) {
			t.Errorf("%q: found %v, want %v", text, got, want)
		}
	})
}

// BenchmarkWords measures searches for 10 and for 5000 words: the number of words must not change the time.
func BenchmarkWords(b *testing.B) {
	text := strings.Repeat("the quick brown fox jumps over the lazy dog ", 5)
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := list{alphabet: alphabet{leet: true, lookalikes: true}}
			for i := range n {
				if err := l.add(fmt.Sprintf("%x%s", i*7919, "quickly")); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				l.find(text)
			}
		})
	}
}
