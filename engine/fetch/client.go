package fetch

import (
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/mootchat/moot/engine/dial"
)

const (
	agent         = "moot"
	mostRedirects = 5
)

// client is for one fetch from a host: it is not led from TLS to where there is none, nor to
// addresses that are nearer than the host.
func (f *Fetcher) client(host string) *http.Client {
	guard := &dial.Guard{Networks: f.who.Networks}
	if !f.who.Restricted {
		guard.Host = host
	}
	t := guard.Transport()
	t.TLSClientConfig = &tls.Config{RootCAs: f.cfg.Roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t, CheckRedirect: follow}
}

func follow(next *http.Request, before []*http.Request) error {
	switch {
	case len(before) > mostRedirects:
		return fmt.Errorf("it leads on and on, more than %d times", mostRedirects)
	case next.URL.Scheme != "https" && before[0].URL.Scheme == "https":
		return fmt.Errorf("it leads to %s, which is not https", shown(next.URL))
	}
	return nil
}
