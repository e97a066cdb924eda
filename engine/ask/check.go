package ask

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
)

var (
	nameShape   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	headerShape = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$")
)

const maxHeader = 4 << 10 // bytes of the value of a header

// ValidName reports whether a text can be the name of an ask: 1 to 64 characters of A-Z, a-z, 0-9, _, . and -.
func ValidName(name string) bool { return nameShape.MatchString(name) }

// CheckURL returns an error unless address is an https or http address without a user and without a fragment. The text of the
// error contains no part of the address.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return errors.New(`use one such as "https://example.com/score"`)
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it does not begin with https://")
	case u.User != nil:
		return errors.New("it contains a user: set a header authorization instead")
	case u.Fragment != "" || strings.Contains(address, "#"):
		return errors.New("it contains a #")
	}
	return nil
}

// CheckHeader returns an error unless the configuration may set this header of a request. The text of the error contains no part of the value.
func CheckHeader(name, value string) error {
	if !headerShape.MatchString(name) {
		return errors.New("is not a valid name of an HTTP header")
	}
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade", "User-Agent", "X-Idempotency-Key":
		return errors.New("cannot be set: the server sets it itself, or it belongs to a connection")
	}
	if strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Proxy-") {
		return errors.New("cannot be set: no proxy is used")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("contains a line break or another control character")
	}
	if len(value) > maxHeader {
		return fmt.Errorf("has more than %d bytes", maxHeader)
	}
	return nil
}
