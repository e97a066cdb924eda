package fetch

import (
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/mootchat/moot/engine/dial"
)

const (
	agent        = "moot"
	maxRedirects = 5
)

// client returns a client for one fetch from a host. It follows no redirect from https
// to http, and no redirect to a network that is more internal than the host's.
func (f *Fetcher) client(host string) *http.Client {
	guard := &dial.Guard{Networks: f.policy.Networks}
	if !f.policy.Restricted {
		guard.Host = host
	}
	t := guard.Transport()
	t.TLSClientConfig = &tls.Config{RootCAs: f.cfg.Roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t, CheckRedirect: checkRedirect}
}

func checkRedirect(next *http.Request, before []*http.Request) error {
	switch {
	case len(before) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case next.URL.Scheme != "https" && before[0].URL.Scheme == "https":
		return fmt.Errorf("redirected to %s, which is not https", withoutQuery(next.URL))
	}
	return nil
}
