// Tables prints tables.rs: what the rule blocklist needs of Unicode's data, and the characters that look alike. Run it in
// guests/builtin/blocklist:
//
//	go run ./tables > tables.rs
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type pair struct{ from, to rune }

func run() error {
	text, err := os.ReadFile("../../blocklist/lookalikes.txt")
	if err != nil {
		return err
	}
	var looks, folds []pair
	for line := range strings.Lines(string(text)) {
		for _, r := range strings.TrimSuffix(line[1:], "\n") {
			looks = append(looks, pair{r, rune(line[0])})
		}
	}
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if least := fold(r); least != r {
			folds = append(folds, pair{r, least})
		}
	}
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintf(out, "//! Unicode %s. Made by `go run ./tables`.\n\n", unicode.Version)
	ranges(out, "IN_WORD", "Letters, digits and marks", func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) })
	ranges(out, "INVISIBLE", "Marks, joiners and soft hyphens, which do not count as characters", func(r rune) bool { return unicode.In(r, unicode.Mn, unicode.Cf, unicode.Me) })
	pairs(out, "FOLDS", "The first of the characters that differ only in case, in lower case if it is ASCII", folds)
	pairs(out, "LOOKS", "The letter or digit of ASCII that a character looks like", looks)
	return out.Flush()
}

// fold returns the first of the characters that differ from r only in case: k for the Kelvin sign.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// ranges prints the ranges of the characters outside of ASCII that are in a set.
func ranges(out *bufio.Writer, name, doc string, in func(rune) bool) {
	var all []pair
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		switch n := len(all); {
		case !in(r):
		case n > 0 && all[n-1].to == r-1:
			all[n-1].to = r
		default:
			all = append(all, pair{r, r})
		}
	}
	fmt.Fprintf(out, "/// %s: ranges.\n", doc)
	list(out, name, all)
}

func pairs(out *bufio.Writer, name, doc string, all []pair) {
	slices.SortFunc(all, func(a, b pair) int { return cmp.Compare(a.from, b.from) })
	fmt.Fprintf(out, "/// %s.\n", doc)
	list(out, name, all)
}

func list(out *bufio.Writer, name string, all []pair) {
	fmt.Fprintf(out, "pub static %s: [(u32, u32); %d] = [", name, len(all))
	for i, p := range all {
		if i%8 == 0 {
			fmt.Fprint(out, "\n   ")
		}
		fmt.Fprintf(out, " (%#x, %#x),", p.from, p.to)
	}
	fmt.Fprint(out, "\n];\n")
}
