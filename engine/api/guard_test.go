package api

import (
	"net/netip"
	"testing"
	"time"
)

func TestWrongKeysAreDelayed(t *testing.T) {
	now := time.Unix(1000, 0)
	f := newFailures(func() time.Time { return now })
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range maxGuesses {
		if wait := f.wait(a); wait > 0 {
			t.Fatalf("wrong key %d has to wait %v", i+1, wait)
		}
		f.count(a)
	}
	if wait := f.wait(a); wait != forgetAfter {
		t.Errorf("after %d wrong keys the wait is %v, want %v", maxGuesses, wait, forgetAfter)
	}
	if wait := f.wait(b); wait > 0 {
		t.Errorf("another address has to wait %v", wait)
	}
	now = now.Add(forgetAfter)
	if wait := f.wait(a); wait > 0 {
		t.Errorf("when a guess is forgotten the wait is %v", wait)
	}
	for i := range 3 * maxAddresses {
		f.count(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	if n := len(f.late) + len(f.early); n > 2*maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}
