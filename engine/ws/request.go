package ws

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// originAllowed reports whether the web page that sends the request may connect. A
// request without Origin does not come from a browser and is allowed.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.cfg.AllowedOrigins, "*") {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if len(s.cfg.AllowedOrigins) == 0 {
		return strings.EqualFold(u.Host, r.Host)
	}
	return slices.ContainsFunc(s.cfg.AllowedOrigins, func(allowed string) bool {
		if strings.Contains(allowed, "://") {
			return strings.EqualFold(allowed, u.Scheme+"://"+u.Host)
		}
		return strings.EqualFold(allowed, u.Host) || strings.EqualFold(allowed, u.Hostname())
	})
}

// remoteOf returns the address of the client. If the peer is a trusted proxy, it
// returns the last address in X-Forwarded-For that is not a trusted proxy, with port 0.
func (s *Server) remoteOf(r *http.Request) netip.AddrPort {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !s.trusted(peer.Addr()) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		peer = netip.AddrPortFrom(addr.Unmap(), 0)
		if !s.trusted(peer.Addr()) {
			break
		}
	}
	return peer
}

func (s *Server) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Limits of the data that a client sends about itself, in bytes.
const (
	maxFingerprint = 128
	maxLocale      = 35 // RFC 5646, section 4.4.1
)

// fingerprintOf returns the sessionID of ActionHero's client, or "" if it is too long
// or not printable.
func fingerprintOf(sessionID string) string {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) }
	if len(sessionID) > maxFingerprint || strings.ContainsFunc(sessionID, odd) {
		return ""
	}
	return sessionID
}

// tokenOf returns the token of the request, or "" if there is none. It reads the
// header, and the query because browsers cannot set the header.
func tokenOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("token")
}

// localeOf returns the first tag of an Accept-Language header, or "" if there is none.
func localeOf(header string) string {
	tag, _, _ := strings.Cut(header, ",")
	tag, _, _ = strings.Cut(tag, ";")
	tag = strings.TrimSpace(tag)
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
	}
	if len(tag) > maxLocale || strings.ContainsFunc(tag, odd) {
		return ""
	}
	return tag
}
