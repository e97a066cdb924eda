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

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/guests/builtin"
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

// check applies the rule of a check tag to a text; the rule "" accepts any text. The
// error continues a message that begins with the text.
func check(rule, text string) error {
	switch rule {
	case "address":
		return checkAddress(text)
	case "capability":
		return checkCapability(text)
	case "ask":
		return require(ask.ValidName(text), "is not a valid name of an ask: use 1 to 64 characters of A-Z, a-z, 0-9, _, . and -")
	case "askURL":
		if err := ask.CheckURL(text); err != nil {
			return fmt.Errorf("is not a valid address of a service: %w", err)
		}
		return nil
	case "builtin":
		return require(text == "" || slices.Contains(builtin.Names(), text), "is not a ready-made rule: use "+either(builtin.Names()))
	case "delimiter":
		return require(text != "" && len(text) <= 16, "is not a valid delimiter: use 1 to 16 bytes")
	case "glob":
		return checkGlob(text)
	case "host":
		return require(hostShape.MatchString(text), "is not a valid host: use a name in lower case without scheme, port and path")
	case "header":
		return require(headerShape.MatchString(text), "is not a valid name of an HTTP header")
	case "jwks":
		return checkJWKS(text)
	case "oci":
		return checkOCI(text)
	case "name":
		return require(nameShape.MatchString(text), "is not a valid name: use 1 to 63 characters of a-z, 0-9 and -")
	case "network":
		_, err := network(text)
		return require(err == nil, `is not a valid network: use one such as "10.0.0.0/8", or an IP address`)
	case "node":
		return require(nodeShape.MatchString(text), "is not a valid name: use at most 63 characters of a-z, 0-9 and -")
	case "origin":
		return require(originShape.MatchString(text), `is not a valid origin: use "*", "https://host" or "host", without a path`)
	case "path":
		return require(strings.HasPrefix(text, "/") && path.Clean(text) == text && text != "/", `is not a valid path: use one such as "/acme", without "/" at the end`)
	case "property":
		return require(propertyShape.MatchString(text), "is not a valid name of a property: use 1 to 64 bytes without spaces and commas")
	case "room":
		return require(isRoomName(text), "is not a valid room name: use 1 to 200 bytes of UTF-8 without control characters")
	case "server":
		return checkServer(text)
	case "sha256":
		return require(digestShape.MatchString(text), "is not a SHA-256: use 64 hex digits in lower case, as sha256sum prints them")
	case "source":
		return checkModuleURL(text)
	case "sink":
		if err := events.CheckURL(text); err != nil {
			return fmt.Errorf("is not a valid address of a sink: %w", err)
		}
		return nil
	case "url":
		return checkURL(text)
	case "":
		return nil
	}
	return errors.New("cannot be checked: the rule " + rule + " does not exist")
}

func require(ok bool, message string) error {
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
	return require(err == nil, `is not a valid address: use host:port or :port, such as "127.0.0.1:8080"`)
}

func checkServer(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return require(err == nil && host != "", `is not a valid server: use host:port, such as "127.0.0.1:6379"`)
}

// checkJWKS accepts files, https addresses, and http addresses of this machine. An
// attacker could replace a key set from another host without TLS, and then sign tokens
// of any user.
func checkJWKS(text string) error {
	if !strings.Contains(text, "://") {
		return nil
	}
	u, err := url.Parse(text)
	local := err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
	return require(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && local),
		`is not a valid key set: use an address that begins with "https://", or the path of a file`)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	return require(text == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"),
		`is not a valid URL: use one such as "http://localhost:4318"`)
}

// checkModuleURL accepts https addresses without a password, because addresses are
// logged.
func checkModuleURL(text string) error {
	u, err := url.Parse(text)
	return require(text == "" || err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil,
		`is not a valid address of a module: use one that begins with "https://", without a user`)
}

func checkOCI(text string) error {
	if text == "" {
		return nil
	}
	ref, err := registry.ParseReference(text)
	return require(err == nil && ref.Reference != "", `is not a valid OCI reference: use one such as "registry.example.com/rules/calm:1" or "...@sha256:DIGEST"`)
}

func checkGlob(text string) error {
	if _, err := glob.Compile(text); err != nil {
		return fmt.Errorf("is not a valid pattern: %w", err)
	}
	return nil
}

func checkCapability(text string) error {
	names, ok := strings.CutPrefix(text, "properties:")
	if ok {
		return require(propertiesShape.MatchString(names), `is not a valid capability: name properties, such as "properties:role,locale"`)
	}
	switch text {
	case "kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend":
		return nil
	}
	return errors.New("is not a capability" + suggest(text, []string{"kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:NAME"}))
}

// check reports problems that concern more than one setting.
func (l *load) check(c *Config) {
	names, modules, lost := sorted(c.Tenants), sorted(c.Modules), l.incomplete()
	for _, name := range names {
		t := c.Tenants[name]
		for i, r := range t.Rooms.Settings {
			if r.Ephemeral && r.History > 0 {
				path := cursor{path: tenantKey(name)}.key("rooms").key("settings").index(i).key("ephemeral").path
				l.problem(l.pos(path), path, "and history exclude each other: an ephemeral room keeps no messages; remove one of the two")
			}
		}
		for i, entry := range t.Chain {
			if _, ok := c.Modules[entry.Module]; !ok && lost {
				l.waiting[name] = true
			} else if !ok && entry.Module != "" {
				path := cursor{path: tenantKey(name)}.key("chain").index(i).key("module").path
				l.problem(l.pos(path), path, l.unknown(path, "module", entry.Module, modules))
			}
		}
		l.checkTenant(c, name)
	}
	l.checkModules(c.Modules)
	l.checkRedis(c.Cluster.Redis)
	l.checkTimeouts(c)
	l.checkKeys(c)
	l.checkListeners(c)
}

// checkModules checks that each module has exactly one source.
func (l *load) checkModules(modules map[string]Module) {
	for _, name := range sorted(modules) {
		m, at := modules[name], cursor{path: "modules"}.key(name)
		from := 0
		bad := l.isBad(at.path)
		for key, source := range map[string]string{"builtin": m.Builtin, "file": m.File.Written, "script": m.Script.Written, "url": m.URL, "oci": m.OCI} {
			bad = bad || l.isBad(at.key(key).path)
			if source != "" {
				from++
			}
		}
		if from != 1 && !bad {
			l.problem(l.pos(at.path), at.path, "must have exactly one of builtin, file, script, url and oci")
		}
		if path := at.key("url").path; m.URL != "" && m.SHA256 == "" && !l.isBad(path) && !l.isBad(at.key("sha256").path) {
			l.problem(l.pos(path), path, "needs a sha256, because the file at the address may change: add the digest that `sha256sum FILE` prints")
		}
		if script := m.Script.Absolute; script != "" && !slices.Contains([]string{".js", ".ts", ".lua"}, filepath.Ext(script)) {
			path := at.key("script").path
			l.problem(l.pos(path), path, fmt.Sprintf("%s is not a script: use a file whose name ends in .js, .ts or .lua", l.shows(path, m.Script.Written)))
		}
	}
}

// checkRedis checks that the settings fit the mode.
func (l *load) checkRedis(r Redis) {
	report := func(is bool, key, message string) {
		path := cursor{path: "cluster"}.key("redis").key(key).path
		if is && !l.isBad(path) {
			l.problem(l.pos(path), path, message)
		}
	}
	report(len(r.Addresses) == 0, "addresses", "is empty: set at least one host:port")
	report(r.Mode == "standalone" && len(r.Addresses) > 1, "addresses", fmt.Sprintf("has %d servers, and mode standalone uses one: remove the others, or set another mode", len(r.Addresses)))
	report(r.Mode == "sentinel" && r.MasterName == "", "masterName", "is required in mode sentinel: set the name that the sentinels have for the master")
	report(r.Mode != "sentinel" && r.MasterName != "", "masterName", "is for mode sentinel only: remove it, or change the mode from "+r.Mode)
	report(r.Mode == "cluster" && r.Database != 0, "database", "must be 0 in mode cluster: a Redis Cluster has only database 0")
	report(!r.TLS && (r.CA.Written != "" || r.Cert.Written != "" || r.Key.Written != ""), "tls", "is false, but certificates are set: set it to true, or remove ca, cert and key")
	report((r.Cert.Written == "") != (r.Key.Written == ""), "cert", "and key go together: set both or none")
}

// checkTimeouts checks that a verb on Redis outlasts the attempts to publish its message.
// Otherwise the client would not learn whether the message was published.
func (l *load) checkTimeouts(c *Config) {
	verb, publish := cursor{path: "limits"}.key("verbTimeout").path, cursor{path: "cluster"}.key("publishTimeout").path
	if c.Cluster.Backend != "redis" || c.Limits.VerbTimeout > c.Cluster.PublishTimeout || l.bad[verb] || l.bad[publish] {
		return
	}
	if _, set := l.places[verb]; set {
		l.problem(l.pos(verb), verb, fmt.Sprintf("must be longer than cluster.publishTimeout (%v), so that clients learn whether a message was published: raise it, or lower cluster.publishTimeout", c.Cluster.PublishTimeout))
		return
	}
	l.problem(l.pos(publish), publish, fmt.Sprintf("must be shorter than limits.verbTimeout (%v), so that clients learn whether a message was published: lower it, or raise limits.verbTimeout", c.Limits.VerbTimeout))
}

// minKey is the shortest key of the server API, in bytes.
const minKey = 16

// checkKeys checks that each key is long enough, belongs to existing tenants, and that
// keys and their names are unique.
func (l *load) checkKeys(c *Config) {
	owners := map[string]string{}
	claim := func(path string, key Secret) {
		switch text := key.Reveal(); {
		case text == "":
		case len(text) < minKey:
			l.problem(l.pos(path), path, fmt.Sprintf("is too short: use at least %d bytes, for example from `openssl rand -hex 16`", minKey))
		case owners[text] != "":
			l.problem(l.pos(path), path, "is the same key as "+owners[text]+": use a key of its own")
		default:
			owners[text] = path
		}
	}
	claim("admin.key", c.Admin.Key)
	for _, name := range sorted(c.Admin.TenantKeys) {
		path := cursor{path: "admin.tenantKeys"}.key(name).path
		if _, ok := c.Tenants[name]; !ok && !l.incomplete() {
			l.problem(l.pos(path), path, l.unknown(path, "tenant", name, sorted(c.Tenants)))
		}
		if c.Admin.TenantKeys[name].Reveal() == "" {
			l.problem(l.pos(path), path, "is empty: set a key, or remove the tenant here")
		}
		claim(path, c.Admin.TenantKeys[name])
	}
	named := map[string]string{AdminName: "admin.key"}
	for i, k := range c.Admin.Keys {
		at := cursor{path: "admin"}.key("keys").index(i)
		if path := at.key("name").path; named[k.Name] != "" && !l.isBad(path) {
			l.problem(l.pos(path), path, fmt.Sprintf("%s is the name of %s: use a name of its own", l.shows(path, k.Name), named[k.Name]))
		} else if k.Name != "" {
			named[k.Name] = at.path
		}
		for j, tenant := range k.Tenants {
			path := l.item(at.key("tenants").path, j)
			if _, ok := c.Tenants[tenant]; !ok && !l.incomplete() && !l.isBad(path) {
				l.problem(l.pos(path), path, l.unknown(path, "tenant", tenant, sorted(c.Tenants)))
			}
		}
		claim(at.key("key").path, k.Key)
	}
}

// AdminName is the name of the key admin.key in logs. No other key has it.
const AdminName = "admin"

// unknown returns the message for a setting that names something that does not exist.
func (l *load) unknown(path, kind, name string, valid []string) string {
	if shown, filled := l.shownAt(path); filled {
		return shown + " is an unknown " + kind
	}
	if len(l.problems) >= maxProblemsPerFile { // each suggestion compares with all names
		return fmt.Sprintf("unknown %s %s", kind, quote(name))
	}
	return fmt.Sprintf("unknown %s %s%s", kind, quote(name), suggest(name, valid))
}
