// Unicode prints unicode.zig: what guests/links knows about characters beyond ASCII. Its sources are the tables of Go and
// the mapping of host names (UTS #46) that browsers use. Run it in guests/links: go run ./unicode > unicode.zig
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "// Made by go run ./unicode > unicode.zig")
	printFolds(out)
	printPairs(out)
	printRanges(out, "apart", "Characters that no host has and that end a link: spaces, punctuation, controls, private ones.", isApart)
	printRanges(out, "symbols", "Symbols, such as emoji: a few hosts have them, and some programs end a link at them.", unicode.IsSymbol)
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var browser = idna.New(idna.MapForLookup(), idna.StrictDomainName(false))

// folded returns the ASCII letters, digits and hyphens that a browser reads for r.
func folded(r rune) (string, bool) {
	if fullWidth := r >= 0xff01 && r <= 0xff5e; fullWidth || !utf8.ValidRune(r) {
		return "", false // find.zig computes them
	}
	text, err := browser.ToUnicode(string(r))
	host := func(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' }
	return text, err == nil && text != "" && strings.IndexFunc(text, func(c rune) bool { return !host(c) }) < 0
}

func printFolds(out *bufio.Writer) {
	fmt.Fprintln(out, "\n/// Characters that browsers read as ASCII, sorted. In a range of several, each is the character after the one before.")
	fmt.Fprintln(out, "pub const folds = [_]struct { first: u21, last: u21, to: []const u8 }{")
	var first, last rune
	var to string
	flush := func() {
		if to != "" {
			fmt.Fprintf(out, "    .{ .first = 0x%x, .last = 0x%x, .to = %q },\n", first, last, to)
		}
	}
	for r := rune(utf8.RuneSelf); r <= unicode.MaxRune; r++ {
		text, ok := folded(r)
		if !ok {
			continue
		}
		if to != "" && len(to) == 1 && len(text) == 1 && r == last+1 && rune(text[0]) == rune(to[0])+r-first {
			last = r
			continue
		}
		flush()
		first, last, to = r, r, text
	}
	flush()
	fmt.Fprintln(out, "};")
}

// printPairs prints the letters that a mark makes of another letter, for scripts with capital letters.
func printPairs(out *bufio.Writer) {
	fmt.Fprintln(out, "\n/// Letters followed by a mark, and the letter that they are together, sorted.")
	fmt.Fprintln(out, "pub const pairs = [_][3]u16{")
	var all [][3]rune
	for r := rune(utf8.RuneSelf); r < 1<<16; r++ {
		parts := []rune(norm.NFD.String(string(r)))
		if !unicode.IsLower(r) || len(parts) < 2 || norm.NFC.String(string(parts)) != string(r) {
			continue
		}
		mark := parts[len(parts)-1]
		base := []rune(norm.NFC.String(string(parts[:len(parts)-1])))
		if len(base) == 1 {
			all = append(all, [3]rune{base[0], mark, r})
		}
	}
	slices.SortFunc(all, func(a, b [3]rune) int { return slices.Compare(a[:], b[:]) })
	for _, p := range all {
		fmt.Fprintf(out, "    .{ 0x%x, 0x%x, 0x%x },\n", p[0], p[1], p[2])
	}
	fmt.Fprintln(out, "};")
}

// isApart reports whether no host has r, with the exceptions of RFC 5892, appendix A.
func isApart(r rune) bool {
	if _, ok := folded(r); ok || strings.ContainsRune("\u00ad\u00b7\u0375\u05f3\u05f4\u30fb", r) || isDot(r) {
		return false
	}
	bidi := r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x206f
	return bidi || unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.In(r, unicode.Z, unicode.Cc, unicode.Co) || r >= 0xfff9 && r <= 0xffff
}

// isDot reports whether browsers read a dot for r.
func isDot(r rune) bool { return strings.ContainsRune("\u3002\uff0e\uff61\u2024\ufe52", r) }

func printRanges(out *bufio.Writer, name, doc string, in func(rune) bool) {
	fmt.Fprintf(out, "\n/// %s\npub const %s = [_][2]u21{\n", doc, name)
	for r := rune(utf8.RuneSelf); r <= unicode.MaxRune; r++ {
		if !in(r) || name == "symbols" && isApartOrFolded(r) {
			continue
		}
		first := r
		for in(r+1) && !(name == "symbols" && isApartOrFolded(r+1)) {
			r++
		}
		fmt.Fprintf(out, "    .{ 0x%x, 0x%x },\n", first, r)
	}
	fmt.Fprintln(out, "};")
}

func isApartOrFolded(r rune) bool {
	_, ok := folded(r)
	return ok || isApart(r)
}
