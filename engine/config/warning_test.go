package config_test

import (
	"testing"
)

func TestPublicAdminPortWithoutTLSIsAWarning(t *testing.T) {
	for listen, warns := range map[string]bool{
		"":                        false,
		"127.0.0.1:9090":          false,
		"127.9.9.9:9090":          false,
		"localhost:9090":          false,
		"[::1]:9090":              false,
		"[::ffff:127.0.0.1]:9090": false,
		":9090":                   true,
		"0.0.0.0:9090":            true,
		"[::]:9090":               true,
		"10.0.0.7:9090":           true,
		"admin.test:9090":         true,
	} {
		c := parsed(t, "\nadmin: { listen: \""+listen+"\" }")
		if len(c.Warnings) > 0 != warns {
			t.Errorf("admin.listen %q: %v", listen, c.Warnings)
		}
		if warns && (c.Warnings[0].Path != "admin.listen" || c.Warnings[0].Line != 2) {
			t.Errorf("admin.listen %q warns of %+v, want admin.listen in line 2", listen, c.Warnings[0])
		}
		c = parsed(t, "admin: { listen: \""+listen+"\", tls: { cert: c.pem, key: k.pem } }")
		if len(c.Warnings) > 0 {
			t.Errorf("admin.listen %q with TLS: %v", listen, c.Warnings)
		}
	}
	if c := parsed(t, ""); len(c.Warnings) > 0 {
		t.Errorf("the defaults warn: %v", c.Warnings)
	}
}
