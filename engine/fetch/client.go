package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
)

const (
	agent         = "moot"
	mostRedirects = 5
)

// newClient makes a client that is not led from TLS to where there is none.
func newClient(roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
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
