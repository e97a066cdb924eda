// Package moderation is the contract of sanctions: what moderators and modules decide about a
// user or an address of a tenant, for a time and with a reason. The packages memory, redis and
// sqlite implement [Store]; package moderationtest tests an implementation. [List] holds the
// sanctions of a tenant on a node, for the checks of the engine.
package moderation

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is the effect of a sanction.
type Kind string

// The kinds of sanctions.
const (
	Mute   Kind = "mute"   // say is refused
	Shadow Kind = "shadow" // messages reach only their author, who is not told
	Ban    Kind = "ban"    // joins are refused and memberships end; in all rooms: connections are refused and closed
)

// Sanction restricts a user or the clients of a network of a tenant. User or Network is set, not both.
type Sanction struct {
	ID      string       // see Identify
	Tenant  string       // name of the tenant
	User    string       // user of a token
	Network netip.Prefix // masked; a single address is an IPv4 /32 or an IPv6 /64
	Kind    Kind
	Rooms   string // pattern of room names: one * stands for any text, \x for the character x; AllRooms for all
	Until   int64  // ms since 1970, by the clock of the store; 0: without an end
	Reason  string // for the user; may be ""
	Note    string // for moderators; may be ""
	Module  string // the module that set it; "": a person
	By      string // the person, such as the name of an API key; "" for a module
	At      int64  // ms since 1970, by the clock of the store; set by Store.Set
}

// AllRooms is the pattern of sanctions that hold in all rooms. A ban with it refuses connections.
const AllRooms = "*"

// Limits of the texts of a sanction, in bytes.
const (
	MaxUser   = 256
	MaxRooms  = 400 // twice the length of a room's name, of which each character may need a \
	MaxReason = 256
	MaxNote   = 1024
)

// Errors of a Store. Their texts are for users.
var (
	ErrUnknown     = errors.New("outcome unknown")                       // the change may have been made, or may be lost
	ErrUnavailable = errors.New("the store of sanctions is unavailable") // the disk is full or fails: nothing was changed
	ErrFull        = errors.New("the tenant has the most sanctions that it may have: remove some")
	ErrSubjectFull = errors.New("the user or network has the most sanctions that it may have: use a pattern of rooms, or remove some")
	ErrModulesFull = errors.New("the modules of the tenant have set the most sanctions that they may set")
)

// Limits are the numbers of sanctions that a tenant may have.
type Limits struct {
	All       int // 0: 100,000
	OfSubject int // of one user or one network; 0: 100. Each message is checked against those of its sender
	OfModules int // of all its modules together, so that people always find room; 0: a quarter of All
}

// WithDefaults returns l with its defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	l.All = cmp.Or(l.All, 100_000)
	l.OfSubject = cmp.Or(l.OfSubject, 100)
	l.OfModules = cmp.Or(l.OfModules, l.All/4)
	return l
}

// Identify checks s and sets its ID, which is derived from subject, kind, rooms and source. A
// person's sanction therefore replaces only that of a person, and a module's only its own. The
// text of an error is for users.
func (s *Sanction) Identify() error {
	switch {
	case (s.User == "") == !s.Network.IsValid():
		return errors.New("a sanction has either a user or a network")
	case len(s.User) > MaxUser || !utf8.ValidString(s.User) || strings.ContainsRune(s.User, 0):
		return fmt.Errorf("user: at most %d bytes of UTF-8, without NUL", MaxUser)
	case s.Kind != Mute && s.Kind != Ban && s.Kind != Shadow:
		return fmt.Errorf("kind %q: use mute, shadow or ban", s.Kind)
	case s.Until < 0:
		return errors.New("until is negative: use 0 for a sanction without an end")
	case len(s.Reason) > MaxReason || !utf8.ValidString(s.Reason):
		return fmt.Errorf("reason: at most %d bytes of UTF-8", MaxReason)
	case len(s.Note) > MaxNote || !utf8.ValidString(s.Note):
		return fmt.Errorf("note: at most %d bytes of UTF-8", MaxNote)
	}
	if _, err := parseRooms(s.Rooms); err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	s.Network = s.Network.Masked()
	sum := sha256.Sum256([]byte(strings.Join([]string{s.Subject(), string(s.Kind), s.Module, s.Rooms}, "\x00")))
	s.ID = strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return nil
}

// Subject returns a text that is equal for sanctions of the same user or network: "user:NAME" or
// "network:PREFIX".
func (s *Sanction) Subject() string {
	if s.User != "" {
		return SubjectOfUser(s.User)
	}
	return SubjectOfNetwork(s.Network)
}

// Place returns the place of the sanction in the order of Store.List, which is also its cursor.
func (s *Sanction) Place() string { return s.Subject() + "\x00" + s.ID }

// SubjectOfUser returns the Subject of sanctions of a user.
func SubjectOfUser(user string) string { return "user:" + user }

// SubjectOfNetwork returns the Subject of sanctions of a network.
func SubjectOfNetwork(network netip.Prefix) string { return "network:" + network.Masked().String() }

// Concerns reports whether the client is the user of the sanction, or in its network.
func (s *Sanction) Concerns(who Client) bool {
	if s.User != "" {
		return s.User == who.User
	}
	addr, err := netip.ParseAddr(who.Address)
	return err == nil && s.Network.Contains(addr.Unmap().WithZone(""))
}

// Ended reports whether the sanction no longer holds.
func (s *Sanction) Ended(now time.Time) bool { return s.Until != 0 && s.Until <= now.UnixMilli() }

// Widest networks that ParseNetwork accepts without wide.
const (
	widestIPv4 = 24
	widestIPv6 = 48
)

// ParseNetwork parses an address or a prefix. An IPv6 address stands for its /64, because
// clients choose the rest. Networks of more than a /24 or an IPv6 /48 need wide. The text of an
// error is for users.
func ParseNetwork(text string, wide bool) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("address %q has a zone", text)
		}
		if addr = addr.Unmap(); addr.Is4() {
			return addr.Prefix(32)
		}
		return addr.Prefix(64)
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("address %.60q: use an address such as 192.0.2.7, or a network such as 192.0.2.0/24", text)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("network %q: write it as an IPv4 network", text)
	case p.Addr().Is6() && p.Bits() > 64:
		return p, fmt.Errorf("network %q: an IPv6 network has at most 64 bits", text)
	case !wide && (p.Addr().Is4() && p.Bits() < widestIPv4 || p.Addr().Is6() && p.Bits() < widestIPv6):
		return p, fmt.Errorf("network %q has more than a /%d (IPv6: /%d): say that it is meant by wide", text, widestIPv4, widestIPv6)
	}
	return p.Masked(), nil
}
