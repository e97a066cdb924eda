// Lookalikes prints the table of characters that look like letters and digits of ASCII. Its
// sources are Unicode's confusables, in data.json of the npm package unhomoglyph 1.0.6, and
// compatibility decompositions. Run it in guests/blocklist:
//
//	go run ./lookalikes data.json > lookalikes.txt
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var confusable map[string]string
	if err := json.Unmarshal(text, &confusable); err != nil {
		return err
	}
	table := map[rune]rune{}
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if like, ok := looksLike(r, confusable); ok {
			table[r] = like
		}
	}
	// One line per letter: the letter, and all characters that look like it.
	lines := map[rune][]rune{}
	for r, like := range table {
		lines[like] = append(lines[like], r)
	}
	out := bufio.NewWriter(os.Stdout)
	for _, like := range slices.Sorted(maps.Keys(lines)) {
		slices.Sort(lines[like])
		fmt.Fprintf(out, "%c%s\n", like, string(lines[like]))
	}
	return out.Flush()
}

// looksLike returns the lower-case letter or digit that r without its marks looks like. In Unicode's
// table I, l, 1 and | look alike; here each looks like itself only.
func looksLike(r rune, confusable map[string]string) (rune, bool) {
	for _, s := range []string{norm.NFKD.String(string(r)), norm.NFKD.String(confusable[string(r)])} {
		letters := slices.DeleteFunc([]rune(s), unicode.IsMark)
		if len(letters) != 1 {
			continue
		}
		c := unicode.ToLower(letters[0])
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c, true
		}
	}
	return 0, false
}
