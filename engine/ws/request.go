package ws

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// originAllowed says whether the page that the request comes from may connect.
// What sends no Origin is no browser, and is not kept out by this.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.cfg.AllowedOrigins, "*") {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(s.cfg.AllowedOrigins, func(allowed string) bool {
		if strings.Contains(allowed, "://") {
			return strings.EqualFold(allowed, u.Scheme+"://"+u.Host)
		}
		return strings.EqualFold(allowed, u.Host) || strings.EqualFold(allowed, u.Hostname())
	})
}

// remoteOf is the client's address: where a trusted proxy connected, the last
// one in X-Forwarded-For that is none, and its port is not known.
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

// Bounds of what a client says of itself, in bytes.
const (
	longestFingerprint = 128
	longestLocale      = 35 // RFC 5646, section 4.4.1
)

// fingerprintOf is the sessionID, or "" if it is none that could be shown.
func fingerprintOf(sessionID string) string {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) }
	if len(sessionID) > longestFingerprint || strings.ContainsFunc(sessionID, odd) {
		return ""
	}
	return sessionID
}

// tokenOf is the token that the request brings, "" if there is none: in a header,
// or, since browsers cannot set one, in the query.
func tokenOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("token")
}

// localeOf is the first tag of an Accept-Language header; "" if there is none.
func localeOf(header string) string {
	tag, _, _ := strings.Cut(header, ",")
	tag, _, _ = strings.Cut(tag, ";")
	tag = strings.TrimSpace(tag)
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
	}
	if len(tag) > longestLocale || strings.ContainsFunc(tag, odd) {
		return ""
	}
	return tag
}
