package events

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Sizes of secrets, in bytes, by the specification of Standard Webhooks.
const (
	minSecret = 24
	maxSecret = 64
)

// CheckSecret returns an error unless secret is valid: base64 of 24 to 64 bytes, after an optional "whsec_". The text of the
// error contains no part of the secret.
func CheckSecret(secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return fmt.Errorf("is not a secret of Standard Webhooks: use base64 of %d to %d random bytes, such as the output of `echo whsec_$(openssl rand -base64 32)`", minSecret, maxSecret)
	}
	return nil
}

// CheckURL returns an error unless address is an https or http address without a user and without a fragment. The text of the
// error contains no part of the address.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New(`use one such as "https://example.com/events"`)
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it does not begin with https://")
	case u.User != nil:
		return errors.New("it contains a user: set a header authorization instead")
	case u.Fragment != "":
		return errors.New("it contains a #")
	}
	return nil
}
