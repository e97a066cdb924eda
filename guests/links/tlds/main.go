// Tlds prints the top-level domains that guests/links knows, one per line: ICANN's domains of
// up to five letters in the Public Suffix List, and well-known longer ones. Run it in
// guests/links: go run ./tlds > tlds.txt
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// long are the known domains of more than five letters; package publicsuffix has no list of them.
const long = `academy accountant accountants active agency airforce amsterdam apartments app architect associates attorney
auction avianca bargains bingo boutique broker builders business camera camp capital cards careers casino catering center
charity chatting church claims cleaning clinic clothing coffee college community company computer condos consulting
contractors cooking country coupons courses credit creditcard cricket cruises dating degree delivery democrat dental
dentist design diamonds digital direct directory discount doctor domains download education energy engineer engineering
enterprises equipment estate events exchange expert exposed express family fashion finance financial fishing fitness
flights florist football forsale foundation furniture futbol gallery garden gripe guitars hamburg healthcare holdings
holiday horse hospital hosting immobilien industries institute insurance insure international investments jewelry
kitchen lawyer limited london lottery luxury maison management market marketing markets melbourne miami mobi mortgage
moscow museum network observer online organic partners photography photos pictures pizza plumbing poker press
productions promo properties property racing realtor realty recipes reisen rentals repair report republican restaurant
review reviews rocks school science security services shopping singles social software solar solutions space store
stream studio supplies supply support surgery systems tattoo technology tennis theater tickets tirol today tools
tours trade trading training travel university vacations ventures viajes villas vision vlaanderen voyage watch webcam
website wedding winners works world wtf yachts yoga zone xn--p1ai xn--80asehdb xn--fiqs8s xn--fiqz9s xn--j6w193g
xn--wgbh1c xn--mgbaam7a8h xn--90ais xn--j1amh xn--3e0b707e xn--h2brj9c xn--o3cw4h xn--qxam xn--90ae xn--e1a4c`

func main() {
	all := strings.Fields(long)
	var short func(prefix string)
	short = func(prefix string) {
		if len(prefix) > 1 && known(prefix) {
			all = append(all, prefix)
		}
		if len(prefix) == 5 {
			return
		}
		for c := 'a'; c <= 'z'; c++ {
			short(prefix + string(c))
		}
	}
	short("")
	all = slices.DeleteFunc(all, func(tld string) bool { return !known(tld) })
	slices.Sort(all)
	out := bufio.NewWriter(os.Stdout)
	for _, tld := range slices.Compact(all) {
		fmt.Fprintln(out, tld)
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// known reports whether ICANN's part of the list has the domain.
func known(tld string) bool {
	suffix, icann := publicsuffix.PublicSuffix("x." + tld)
	return icann && (suffix == tld || strings.HasSuffix(suffix, "."+tld))
}
