package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"oras.land/oras-go/v2/registry"

	"github.com/mootchat/moot/engine/glob"
)

var (
	headerShape     = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)
	hostShape       = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)
	nameShape       = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	nodeShape       = regexp.MustCompile(`^[a-z0-9-]{0,63}$`)
	originShape     = regexp.MustCompile(`^(\*|([a-z][a-z0-9+.-]*://)?[^\s/?#]+)$`)
	digestShape     = regexp.MustCompile(`^([0-9a-f]{64})?$`)
	propertyShape   = regexp.MustCompile(`^[^\s,]{1,64}$`)
	propertiesShape = regexp.MustCompile(`^[^\s,]{1,64}(,[^\s,]{1,64})*$`)
)

// check asks one rule, "" for none, about a text. The error is what a message has to say
// after the text.
func check(rule, text string) error {
	switch rule {
	case "address":
		return checkAddress(text)
	case "capability":
		return checkCapability(text)
	case "delimiter":
		return must(text != "" && len(text) <= 16, "is not a delimiter: want 1 to 16 bytes")
	case "glob":
		return checkGlob(text)
	case "host":
		return must(hostShape.MatchString(text), "is not a host: want a name in lower case without scheme, port or path")
	case "header":
		return must(headerShape.MatchString(text), "is not a name of an HTTP header")
	case "jwks":
		return checkJWKS(text)
	case "oci":
		return checkOCI(text)
	case "name":
		return must(nameShape.MatchString(text), "is an invalid name: want 1 to 63 of a-z, 0-9 and -")
	case "network":
		_, err := network(text)
		return must(err == nil, `is not a network such as "10.0.0.0/8", or an address`)
	case "node":
		return must(nodeShape.MatchString(text), "is an invalid name: want at most 63 of a-z, 0-9 and -")
	case "origin":
		return must(originShape.MatchString(text), `is not an origin: want "*", "https://host" or "host", without a path`)
	case "path":
		return must(strings.HasPrefix(text, "/") && path.Clean(text) == text && text != "/", `is not a path: want one such as "/acme", without "/" at its end`)
	case "property":
		return must(propertyShape.MatchString(text), "is not a name of a property: want 1 to 64 bytes without spaces and commas")
	case "room":
		return must(isRoomName(text), "is an invalid room name: want 1 to 200 bytes of UTF-8 without control characters")
	case "server":
		return checkServer(text)
	case "sha256":
		return must(digestShape.MatchString(text), "is not a sha256: want 64 hex digits in lower case")
	case "source":
		return checkModuleURL(text)
	case "url":
		return checkURL(text)
	case "":
		return nil
	}
	return errors.New("has a rule that does not exist: " + rule)
}

func must(ok bool, message string) error {
	if ok {
		return nil
	}
	return errors.New(message)
}

func isRoomName(text string) bool {
	return text != "" && len(text) <= 200 && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func checkAddress(text string) error {
	if text == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return must(err == nil, `is not an address such as ":8080" or "127.0.0.1:8080"`)
}

func checkServer(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return must(err == nil && host != "", `is not a server: want host:port, such as "127.0.0.1:6379"`)
}

// checkJWKS lets the address of a key set be secure, or on this very machine: who can
// change what comes from there can be any user.
func checkJWKS(text string) error {
	if !strings.Contains(text, "://") {
		return nil
	}
	u, err := url.Parse(text)
	local := err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
	return must(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && local),
		`is not a key set: want an address that begins with "https://", or the path of a file`)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	return must(text == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"),
		`is not an address such as "http://localhost:4318"`)
}

// checkModuleURL lets no password be in an address: it would be in logs.
func checkModuleURL(text string) error {
	u, err := url.Parse(text)
	return must(text == "" || err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil,
		`is not the address of a module: want one that begins with "https://", without a user`)
}

func checkOCI(text string) error {
	if text == "" {
		return nil
	}
	ref, err := registry.ParseReference(text)
	return must(err == nil && ref.Reference != "", `is not an OCI reference such as "registry.example.com/rules/calm:1" or "...@sha256:DIGEST"`)
}

func checkGlob(text string) error {
	if _, err := glob.Compile(text); err != nil {
		return fmt.Errorf("is not a pattern: %w", err)
	}
	return nil
}

func checkCapability(text string) error {
	names, ok := strings.CutPrefix(text, "properties:")
	if ok {
		return must(propertiesShape.MatchString(names), `is not a capability: want the names of properties, such as "properties:role,locale"`)
	}
	switch text {
	case "kv", "rate", "emit", "rooms":
		return nil
	}
	return errors.New("is not a capability" + suggest(text, []string{"kv", "rate", "emit", "rooms", "properties:NAME"}))
}

// check asks what concerns more than one setting.
func (l *load) check(c *Config) {
	hosts, paths, modules := map[string]claimed{}, map[string]claimed{}, sorted(c.Modules)
	for _, name := range sorted(c.Tenants) {
		t := c.Tenants[name]
		at := cursor{path: "tenants"}.key(name)
		l.claim(hosts, t.Match.Host, name, at.key("match").key("host").path)
		l.claim(paths, t.Match.Path, name, at.key("match").key("path").path)
		for i, r := range t.Rooms.Settings {
			if path := at.key("rooms").key("settings").index(i).key("ephemeral").path; r.Ephemeral && r.History > 0 {
				l.problem(l.pos(path), path, "and history exclude each other: of what is ephemeral nothing is kept")
			}
		}
		for i, entry := range t.Chain {
			path := at.key("chain").index(i).key("module").path
			if _, ok := c.Modules[entry.Module]; !ok && entry.Module != "" && !l.full(l.pos(path).File) {
				l.problem(l.pos(path), path, l.unknown(path, "module", entry.Module, modules))
			}
		}
	}
	l.checkModules(c.Modules)
	for _, name := range sorted(c.Tenants) {
		l.checkTenant(c, name)
	}
	l.checkRedis(c.Cluster.Redis)
	l.checkKeys(c)
	l.checkListeners(c)
}

// checkModules asks whether each module comes from one place.
func (l *load) checkModules(modules map[string]Module) {
	for _, name := range sorted(modules) {
		m, at := modules[name], cursor{path: "modules"}.key(name)
		from := 0
		bad := l.bad[at.path]
		for key, source := range map[string]string{"file": m.File.Written, "script": m.Script.Written, "url": m.URL, "oci": m.OCI} {
			bad = bad || l.bad[at.key(key).path]
			if source != "" {
				from++
			}
		}
		if from != 1 && !bad {
			l.problem(l.pos(at.path), at.path, "must have one of file, script, url and oci")
		}
		if path := at.key("url").path; m.URL != "" && m.SHA256 == "" && !l.bad[path] && !l.bad[at.key("sha256").path] {
			l.problem(l.pos(path), path, "must have a sha256 beside it, which `sha256sum FILE` gives: what comes from elsewhere may change")
		}
		if script := m.Script.Absolute; script != "" && !slices.Contains([]string{".js", ".ts", ".lua"}, filepath.Ext(script)) {
			path := at.key("script").path
			l.problem(l.pos(path), path, fmt.Sprintf("%s is no script: want a name that ends in .js, .ts or .lua", l.shows(path, m.Script.Written)))
		}
	}
}

// checkRedis asks what each mode has and needs.
func (l *load) checkRedis(r Redis) {
	say := func(is bool, key, message string) {
		path := cursor{path: "cluster"}.key("redis").key(key).path
		if is && !l.bad[path] {
			l.problem(l.pos(path), path, message)
		}
	}
	say(len(r.Addresses) == 0, "addresses", "is empty: want at least one host:port")
	say(r.Mode == "standalone" && len(r.Addresses) > 1, "addresses", fmt.Sprintf("has %d servers: mode standalone has one", len(r.Addresses)))
	say(r.Mode == "sentinel" && r.MasterName == "", "masterName", "is required in mode sentinel: what the sentinels call the master")
	say(r.Mode != "sentinel" && r.MasterName != "", "masterName", "is for mode sentinel, and the mode is "+r.Mode)
	say(r.Mode == "cluster" && r.Database != 0, "database", "must be 0 in mode cluster: a Redis Cluster has no other")
	say(!r.TLS && (r.CA.Written != "" || r.Cert.Written != "" || r.Key.Written != ""), "tls", "is false, but certificates are given: set it to true")
	say((r.Cert.Written == "") != (r.Key.Written == ""), "cert", "and key go together: both or none")
}

// minKey is how long a key of the server API must be: guessing must be hopeless.
const minKey = 16

// checkKeys asks that each key is long, of a tenant there is, and of one owner only.
func (l *load) checkKeys(c *Config) {
	owners := map[string]string{}
	claim := func(path string, key Secret) {
		switch text := key.Reveal(); {
		case text == "":
		case len(text) < minKey:
			l.problem(l.pos(path), path, fmt.Sprintf("is too short: want at least %d bytes, such as `openssl rand -hex 16` gives", minKey))
		case owners[text] != "":
			l.problem(l.pos(path), path, "is the same key as "+owners[text])
		default:
			owners[text] = path
		}
	}
	claim("admin.key", c.Admin.Key)
	for _, name := range sorted(c.Admin.TenantKeys) {
		path := cursor{path: "admin.tenantKeys"}.key(name).path
		if _, ok := c.Tenants[name]; !ok {
			l.problem(l.pos(path), path, l.unknown(path, "tenant", name, sorted(c.Tenants)))
		}
		if c.Admin.TenantKeys[name].Reveal() == "" {
			l.problem(l.pos(path), path, "is empty: leave the tenant out, or give it a key")
		}
		claim(path, c.Admin.TenantKeys[name])
	}
}

// claimed is who has a host or a path, and where that is written.
type claimed struct {
	tenant string
	pos    Pos
}

// claim gives hosts or paths to a tenant, each to one only: a tie has no right answer.
func (l *load) claim(taken map[string]claimed, texts []string, tenant, at string) {
	for i, text := range texts {
		path := l.item(at, i)
		if owner, ok := taken[text]; ok && owner.tenant != tenant {
			l.problem(l.pos(path), path, fmt.Sprintf("%s already leads to tenant %s (%s)", l.shows(path, text), quote(owner.tenant), owner.pos))
			continue
		}
		taken[text] = claimed{tenant, l.pos(path)}
	}
}

// unknown says that no name is that of the setting at path.
func (l *load) unknown(path, kind, name string, valid []string) string {
	if shown, filled := l.shown[path]; filled {
		return shown + " is an unknown " + kind
	}
	return fmt.Sprintf("unknown %s %s%s", kind, quote(name), suggest(name, valid))
}
