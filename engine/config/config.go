// Package config reads config.yaml into plain data.
//
// A Config is built from defaults (tags of the structs in this package), then files,
// then overrides such as "http.listen=:9999"; later sources win. Values in files may
// refer to the environment and to files of secrets: ${NAME}, ${file:PATH}.
//
// Decoding is strict. An unknown key, a wrong type or a value out of range is a
// [Problem], which has the file, the line and the path of the setting. All problems are
// reported together, as [Problems]. This package does not open modules; callers use
// [Pos] to report problems of modules with their places.
//
// A setting is one field of a struct. Its tags, which decode.go reads, are:
//
//	yaml:"name"          the key; "-" is not a setting
//	default:"50ms"       the default, as in YAML
//	min:"1" max:"100"    the smallest and largest number, duration or size
//	oneof:"text json"    the allowed values
//	check:"glob"         a rule of check.go; for a list, applied to each value
//	key:"name"           a rule of check.go for the keys of a map
//	required:"true"      must be set and not empty
//	short:"true"         YAML may have this field's text in place of the whole mapping
//	restart:"true"       a running server does not apply a change of it or of its fields
package config

import (
	"encoding/json"
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// Config is a checked configuration with all defaults set. The caller owns it; this
// package keeps no reference to it.
type Config struct {
	File           Path              `yaml:"-"`       // the main file
	Warnings       Problems          `yaml:"-"`       // settings that are valid but unsafe
	Substitutions  []Substitution    `yaml:"-"`       // values that ${...} stood for
	Faults         []Fault           `yaml:"-"`       // tenants that have problems, and problems that no tenant has
	Include        []Include         `yaml:"include"` // files with more modules and tenants; already read
	HTTP           HTTP              `yaml:"http" restart:"true"`
	Socket         Socket            `yaml:"socket" restart:"true"`
	Admin          Admin             `yaml:"admin"`
	Cluster        Cluster           `yaml:"cluster" restart:"true"`
	Limits         Limits            `yaml:"limits"`
	Sessions       Sessions          `yaml:"sessions" restart:"true"`
	Data           Path              `yaml:"data" restart:"true"`                           // a directory for sanctions, held messages, reports and events, with backend memory; "" = they end with the process
	Cache          Path              `yaml:"cache" restart:"true"`                          // a directory; "" = "moot" in the user's cache directory; "off" = no cache
	Drain          time.Duration     `yaml:"drain" default:"30s" min:"0s" max:"1h"`         // time over which clients are closed on shutdown; 0 = at once
	DrainDelay     time.Duration     `yaml:"drainDelay" default:"0s" min:"0s" max:"10m"`    // from failing readiness to closing the listeners on shutdown
	Watch          bool              `yaml:"watch" default:"false"`                         // reload when a file changes
	TrustedProxies []string          `yaml:"trustedProxies" check:"network" restart:"true"` // networks of proxies whose headers name the client's address; see Proxies
	Log            Log               `yaml:"log"`
	Decisions      Decisions         `yaml:"decisions"`
	Telemetry      Telemetry         `yaml:"telemetry" restart:"true"`
	Modules        map[string]Module `yaml:"modules" key:"name"`
	Tenants        map[string]Tenant `yaml:"tenants" key:"name"` // never empty: without tenants in the file it holds "default"
}

// Include selects files with more modules and tenants. Tenants may write these files.
// In YAML it is a pattern, or a mapping with secrets.
//
// An included file has fewer rights than the file that includes it. It may use no
// ${...} except ${file:NAME} of Secrets. Its paths stay under the file's directory. Its
// fetches use no password of the node and reach only public addresses and
// [Limits.Networks].
type Include struct {
	Files   string `yaml:"files" required:"true" short:"true"` // a name or a pattern
	Secrets Path   `yaml:"secrets"`                            // the directory of ${file:NAME}, which names and links cannot leave; "" = ${...} is off
}

// HTTP is the listener of WebSocket clients.
type HTTP struct {
	Listen           string        `yaml:"listen" default:":8080" check:"address" required:"true"`
	AllowedOrigins   []string      `yaml:"allowedOrigins" check:"origin"` // empty = same host; "*" = any; else "https://host[:port]" or "host"
	TLS              TLS           `yaml:"tls"`
	ProxyProtocol    bool          `yaml:"proxyProtocol" default:"false"`                      // connections from TrustedProxies begin with a PROXY header
	Reading          string        `yaml:"reading" default:"shared" oneof:"shared goroutines"` // how idle connections wait for data
	Writing          string        `yaml:"writing" default:"auto" oneof:"auto write io_uring"` // how the node writes to clients, also over TCP
	HandshakeTimeout time.Duration `yaml:"handshakeTimeout" default:"5s" min:"10ms" max:"10m"` // for TLS, the PROXY header and the HTTP request together
	Demo             bool          `yaml:"demo" default:"false"`                               // serves the demo page at the tenants' "/"
}

// Socket is the listener of TCP clients.
type Socket struct {
	Listen        string           `yaml:"listen" default:":5000" check:"address"` // "" = only the listeners of More
	Tenant        string           `yaml:"tenant" default:"default" check:"name"`  // of clients whose TLS does not name another tenant's host; must exist, unless Listen is ""
	Delimiter     string           `yaml:"delimiter" default:"\n" check:"delimiter"`
	TLS           TLS              `yaml:"tls"`
	ProxyProtocol bool             `yaml:"proxyProtocol" default:"false"`
	Reading       string           `yaml:"reading" default:"shared" oneof:"shared goroutines"`
	More          []SocketListener `yaml:"more"`
}

// SocketListener is a listener of TCP clients; its fields are those of Socket.
type SocketListener struct {
	Listen        string `yaml:"listen" check:"address" required:"true"`
	Tenant        string `yaml:"tenant" check:"name" required:"true"`
	Delimiter     string `yaml:"delimiter" default:"\n" check:"delimiter"`
	TLS           TLS    `yaml:"tls"`
	ProxyProtocol bool   `yaml:"proxyProtocol" default:"false"`
	Reading       string `yaml:"reading" default:"shared" oneof:"shared goroutines"`
}

// TLS is a certificate: both files or neither. The files may change while the server runs.
type TLS struct {
	Pos  Pos  `yaml:"-"`
	Cert Path `yaml:"cert"` // PEM, with the intermediate certificates
	Key  Path `yaml:"key"`  // PEM
}

// Admin is the listener of operators: the server API, metrics and health.
type Admin struct {
	Listen            string            `yaml:"listen" default:"127.0.0.1:9090" check:"address" restart:"true"` // "" = none
	TLS               TLS               `yaml:"tls" restart:"true"`
	Hosts             []string          `yaml:"hosts" check:"host" restart:"true"`                                    // allowed in the Host header, besides localhost and IP addresses
	Key               Secret            `yaml:"key"`                                                                  // of an operator; "" = made at each start, and shown in a text log
	TenantKeys        map[string]Secret `yaml:"tenantKeys" key:"name"`                                                // by tenant: a key of an operator of this tenant only
	Keys              []AdminKey        `yaml:"keys"`                                                                 // further keys
	RequestsPerSecond int               `yaml:"requestsPerSecond" default:"100" min:"1" max:"1000000" restart:"true"` // of each key; the burst is twice that
	Metrics           Metrics           `yaml:"metrics" restart:"true"`
}

// AdminKey is a key of the server API with a role.
type AdminKey struct {
	Name    string   `yaml:"name" check:"name" required:"true"` // unique, in logs
	Key     Secret   `yaml:"key" required:"true"`
	Role    string   `yaml:"role" oneof:"viewer moderator author operator" required:"true"`
	Tenants []string `yaml:"tenants" check:"name"` // that the key reaches; empty = all tenants, and operations of no tenant
}

// Metrics limits the series of /metrics.
type Metrics struct {
	Tenants int      `yaml:"tenants" default:"100" min:"0" max:"10000"` // tenants with series of their own; the others are summed as tenant "other"
	Named   []string `yaml:"named" check:"name"`                        // further tenants with series of their own
}

// Cluster configures the state that nodes share.
type Cluster struct {
	Backend        string        `yaml:"backend" default:"memory" oneof:"memory redis"`
	Node           string        `yaml:"node" check:"node"`                                 // "" = made from the host's name at start
	Lease          time.Duration `yaml:"lease" default:"10s" min:"1s" max:"1h"`             // time after which a silent node counts as dead
	PublishTimeout time.Duration `yaml:"publishTimeout" default:"10s" min:"100ms" max:"5m"` // time that a call waits for the backend
	Partitions     int           `yaml:"partitions" default:"16" min:"1" max:"1024"`        // of a Redis Cluster; the same on all nodes; never change it
	Heal           Heal          `yaml:"heal"`
	Redis          Redis         `yaml:"redis"`
}

// Heal limits the messages kept for nodes that missed them. It is independent of the
// history of rooms.
type Heal struct {
	For         time.Duration `yaml:"for" default:"15s" min:"1s" max:"10m"`
	RoomBytes   ByteSize      `yaml:"roomBytes" default:"16MiB" min:"64KiB" max:"1GiB"`
	TenantBytes ByteSize      `yaml:"tenantBytes" default:"64MiB" min:"64KiB" max:"64GiB"`
	TotalBytes  ByteSize      `yaml:"totalBytes" default:"256MiB" min:"64KiB" max:"1024GiB"`
	NodeBytes   ByteSize      `yaml:"nodeBytes" default:"64MiB" min:"64KiB" max:"64GiB"`
}

// Redis is the backend, if Backend is "redis".
type Redis struct {
	Mode       string   `yaml:"mode" default:"standalone" oneof:"standalone sentinel cluster"`
	Addresses  []string `yaml:"addresses" default:"127.0.0.1:6379" check:"server"` // of the server, of the sentinels, or of some of the cluster's servers
	Username   string   `yaml:"username"`                                          // "" = Redis' default user
	Password   Secret   `yaml:"password"`                                          // empty = none is sent
	Database   int      `yaml:"database" default:"0" min:"0" max:"1000000"`        // 0 in mode cluster
	MasterName string   `yaml:"masterName"`                                        // required in mode sentinel, "" in other modes
	TLS        bool     `yaml:"tls" default:"false"`
	CA         Path     `yaml:"ca"`   // a PEM file; "" = the system's certificates
	Cert       Path     `yaml:"cert"` // PEM, for a Redis that asks for client certificates; "" = none
	Key        Path     `yaml:"key"`
	Prefix     string   `yaml:"prefix" default:"moot" check:"name"` // of all keys; clusters with different prefixes may share a Redis

	WaitReplicas int           `yaml:"waitReplicas" default:"0" min:"0" max:"10"` // replicas that must confirm each write of a module
	WaitTimeout  time.Duration `yaml:"waitTimeout" default:"25ms" min:"1ms" max:"10s"`
}

// Limits are limits of each client of this node, or of the node.
type Limits struct {
	PrivateNetworks     []string      `yaml:"privateNetworks" check:"network"`                                        // private networks that fetches of included files and redirects of all fetches may reach; see Networks
	MessageBytes        ByteSize      `yaml:"messageBytes" default:"64KiB" min:"64" max:"1MiB"`                       // largest frame or line from a client
	Connections         int           `yaml:"connections" default:"100000" min:"1" max:"10000000"`                    // on this node
	ConnectionsPerIP    int           `yaml:"connectionsPerIP" default:"0" min:"0" max:"10000000"`                    // to each tenant; 0 = no limit
	RoomsPerConnection  int           `yaml:"roomsPerConnection" default:"100" min:"1" max:"100000"`                  // rooms that a connection may be in at once
	VerbsPerSecond      int           `yaml:"verbsPerSecond" default:"50" min:"1" max:"1000000"`                      // of one connection; the burst is twice that
	SimultaneousActions int           `yaml:"simultaneousActions" default:"5" min:"1" max:"1000"`                     // of one connection
	ModuleCPU           Share         `yaml:"moduleCPU" default:"0.5" min:"0.01" max:"1"`                             // of the processors, for the modules of one tenant
	ModuleMemory        ByteSize      `yaml:"moduleMemory" default:"0" min:"64MiB" max:"1024GiB"`                     // of compiled modules and instances; half of it is reserved in equal parts for the tenants; 0 = a quarter of the memory of the machine or cgroup
	ChainTimeout        time.Duration `yaml:"chainTimeout" default:"250ms" min:"1ms" max:"1m"`                        // for all modules of a chain, for one message
	VerbTimeout         time.Duration `yaml:"verbTimeout" default:"15s" min:"100ms" max:"10m"`                        // total time of a verb or an action of a client
	OutboxBytes         ByteSize      `yaml:"outboxBytes" default:"1MiB" min:"1KiB" max:"1GiB"`                       // bytes that may wait for one connection; above that it is closed
	OutboxMemory        ByteSize      `yaml:"outboxMemory" default:"0" min:"32MiB" max:"1024GiB"`                     // that waits to be written to clients; 0 = an eighth of the memory of the machine or cgroup
	HistoryBytes        ByteSize      `yaml:"historyBytes" default:"16MiB" min:"64KiB" max:"1GiB"`                    // of the history of one room
	Rooms               int           `yaml:"rooms" default:"10000" min:"0" max:"10000000"`                           // of one tenant; 0 = no limit
	HeldMessages        int           `yaml:"heldMessages" default:"10000" min:"1" max:"1000000"`                     // of one tenant that wait for a decision
	HeldBytes           ByteSize      `yaml:"heldBytes" default:"64MiB" min:"64KiB" max:"64GiB"`                      // of these messages
	AskRequests         int           `yaml:"askRequests" default:"64" min:"1" max:"10000"`                           // of the asks of one tenant, at once
	AskTotalRequests    int           `yaml:"askTotalRequests" default:"1024" min:"2" max:"100000"`                   // of the asks of all tenants, at once; a tenant may have as many as are left for all others
	AsksPerSecond       int           `yaml:"asksPerSecond" default:"500" min:"1" max:"1000000"`                      // requests of the asks of one tenant; the burst is twice that
	AskCacheBytes       ByteSize      `yaml:"askCacheBytes" default:"1MiB" min:"64KiB" max:"1GiB"`                    // of the answers that the asks of one tenant keep
	AskCacheTotalBytes  ByteSize      `yaml:"askCacheTotalBytes" default:"64MiB" min:"128KiB" max:"64GiB"`            // the same, of all tenants; a tenant may use as much as is left for all others
	EventBytes          ByteSize      `yaml:"eventBytes" default:"64MiB" min:"1MiB" max:"64GiB" restart:"true"`       // of the events of a tenant that wait for its sinks; the same again for its dead letters
	EventTotalBytes     ByteSize      `yaml:"eventTotalBytes" default:"1GiB" min:"1MiB" max:"1024GiB" restart:"true"` // the same, of all tenants
	EventAge            time.Duration `yaml:"eventAge" default:"24h" min:"1m" max:"720h" restart:"true"`              // time after which an event that waits becomes a dead letter, and after which a dead letter is removed
	WriteTimeout        time.Duration `yaml:"writeTimeout" default:"5s" min:"10ms" max:"10m"`                         // of one write to a client
}

// Sessions let clients resume a lost connection.
type Sessions struct {
	Grace time.Duration `yaml:"grace" default:"0s" min:"0s" max:"1h"` // time within which a lost connection can be resumed; 0 = no sessions
}

// Log configures the log. The levels are those of log/slog.
type Log struct {
	Level  string `yaml:"level" default:"info" oneof:"debug info warn error"`
	Format string `yaml:"format" default:"text" oneof:"text json" restart:"true"`
}

// Decisions configures the recording of decisions. These are verdicts that deny, drop
// or rewrite, failures, and verdicts of shadow entries that differ.
type Decisions struct {
	Ring         int  `yaml:"ring" default:"256" min:"1" max:"100000"`           // decisions kept per module and tenant
	SampleAllows int  `yaml:"sampleAllows" default:"0" min:"0" max:"1000000000"` // one of this many plain allows is recorded too; 0 = none
	Log          bool `yaml:"log" default:"false"`                               // also writes decisions to the log, at most 20 a second per module
	Text         bool `yaml:"text" default:"false"`                              // records the text of messages, and the user
}

// Telemetry configures traces, sent as OTLP over HTTP in protobuf.
type Telemetry struct {
	Endpoint string            `yaml:"endpoint" check:"url"`                      // of the collector; without a path it means /v1/traces; "" = no traces
	Headers  map[string]Secret `yaml:"headers" key:"header"`                      // sent with each request
	Sample   Share             `yaml:"sample" default:"0.01" min:"0.001" max:"1"` // share of the verbs that are traced, with all their effects
}

// Module is a module that chain entries name. Exactly one of its sources Builtin, File,
// Script, URL and OCI is set.
type Module struct {
	Pos      Pos    `yaml:"-"`                       // of its name
	Included bool   `yaml:"-"`                       // set in an included file
	Builtin  string `yaml:"builtin" check:"builtin"` // name of a ready-made rule, which is part of the program
	File     Path   `yaml:"file"`                    // a WebAssembly module
	Script   Path   `yaml:"script"`                  // JavaScript, TypeScript or Lua, by the ending of its name
	URL      string `yaml:"url" check:"source"`      // https address of a module or a script, by the ending of its path; needs SHA256
	OCI      string `yaml:"oci" check:"oci"`         // an artifact with a module in a registry
	SHA256   string `yaml:"sha256" check:"sha256"`   // of the file, 64 hex digits in lower case; "" = not checked
}

// Tenant configures a tenant.
type Tenant struct {
	Pos    Pos          `yaml:"-"` // of its name
	Match  Match        `yaml:"match"`
	Auth   Auth         `yaml:"auth"`
	Rooms  Rooms        `yaml:"rooms"`
	Limits TenantLimits `yaml:"limits"`
	Chain  []Entry      `yaml:"chain"` // as written, not sorted by priority
	Events []EventSink  `yaml:"events"`

	Sum    [32]byte `yaml:"-"` // identifies the settings and their places; depends on secrets: never show it
	Digest [32]byte `yaml:"-"` // the tenant's part of the function Digest
}

// Match selects the HTTP clients of a tenant by the host or the path of their request.
// A path takes precedence over a host, and a longer path over a shorter one. Two
// tenants cannot have the same host or path. Clients that match no tenant belong to
// "default".
type Match struct {
	Host []string `yaml:"host" check:"host"` // names without port, in lower case
	Path []string `yaml:"path" check:"path"` // leading segments of the URL's path, such as "/acme"
}

// Auth configures the authentication of a tenant's clients.
type Auth struct {
	JWT JWT `yaml:"jwt"`
}

// JWT configures the tokens of a tenant. Without a key the tenant has no tokens, and
// the other fields must be empty.
type JWT struct {
	Pos        Pos      `yaml:"-"`                 // of the mapping
	Included   bool     `yaml:"-"`                 // set in an included file
	Secret     Secret   `yaml:"secret"`            // at most one of Secret, PublicKey and JWKS is set
	PublicKey  string   `yaml:"publicKey"`         // PEM
	JWKS       Path     `yaml:"jwks" check:"jwks"` // a file or a URL, which is both Written and Absolute
	Audience   []string `yaml:"audience"`          // allowed audiences; empty = any
	Issuer     string   `yaml:"issuer"`            // "" = any
	Required   bool     `yaml:"required" default:"false"`
	Properties []string `yaml:"properties" check:"property"` // claims that become properties of the connection
}

// Keys reports whether a key is set.
func (j JWT) Keys() bool {
	return j.Secret.Reveal() != "" || j.PublicKey != "" || j.JWKS.Written != ""
}

// Rooms configures the rooms of a tenant.
type Rooms struct {
	Starting         []string       `yaml:"starting" check:"room"` // created at start, and by a reload if they are new
	ClientsMayCreate bool           `yaml:"clientsMayCreate" default:"false"`
	Settings         []RoomSettings `yaml:"settings"` // the first with a matching pattern applies
}

// RoomSettings apply to rooms whose names match Match.
type RoomSettings struct {
	Match      string        `yaml:"match" default:"*" check:"glob"`
	MaxMembers int           `yaml:"maxMembers" default:"0" min:"0" max:"10000000"` // 0 = no limit
	History    int           `yaml:"history" default:"0" min:"0" max:"10000"`       // messages that are kept; 0 = none
	HistoryTTL time.Duration `yaml:"historyTTL" default:"5m" min:"1s" max:"168h"`   // minimum time that each message is kept
	Ephemeral  bool          `yaml:"ephemeral" default:"false"`                     // no messages are kept, not even for healing; excludes History
	Presence   bool          `yaml:"presence" default:"false"`                      // members may ask for presence notices
	Users      bool          `yaml:"users" default:"false"`                         // messages and lists of members name users
	JSON       bool          `yaml:"json" default:"false"`                          // members may send JSON objects and arrays

	AmendmentNotices bool `yaml:"amendmentNotices" default:"false"` // members without amendments receive a notice of each

	FlushDelay time.Duration `yaml:"flushDelay" default:"0s" min:"0s" max:"1s"` // maximum time that a message waits to be joined with others
}

// TenantLimits are limits of one tenant. A limit that the node has too cannot be higher
// than the node's, unless the field states otherwise; 0 means the node's.
type TenantLimits struct {
	Connections         int      `yaml:"connections" default:"0" min:"0" max:"10000000"` // on this node; 0 = only the node's limit
	Rooms               int      `yaml:"rooms" default:"0" min:"0" max:"10000000"`
	MessagesPerSecond   int      `yaml:"messagesPerSecond" default:"0" min:"0" max:"10000000"` // on this node; 0 = no limit; the burst is twice that
	MessageBytes        ByteSize `yaml:"messageBytes" default:"0" min:"0" max:"1MiB"`
	ConnectionsPerIP    int      `yaml:"connectionsPerIP" default:"0" min:"0" max:"10000000"` // may be higher
	RoomsPerConnection  int      `yaml:"roomsPerConnection" default:"0" min:"0" max:"100000"`
	VerbsPerSecond      int      `yaml:"verbsPerSecond" default:"0" min:"0" max:"1000000"`
	SimultaneousActions int      `yaml:"simultaneousActions" default:"0" min:"0" max:"1000"`
	ModuleCPU           Share    `yaml:"moduleCPU" default:"0" min:"0" max:"1"`
	OutboxBytes         ByteSize `yaml:"outboxBytes" default:"0" min:"0" max:"1GiB"`
	HistoryBytes        ByteSize `yaml:"historyBytes" default:"0" min:"0" max:"1GiB"`
	AskRequests         int      `yaml:"askRequests" default:"0" min:"0" max:"10000"`
	AsksPerSecond       int      `yaml:"asksPerSecond" default:"0" min:"0" max:"1000000"`
	AskCacheBytes       ByteSize `yaml:"askCacheBytes" default:"0" min:"0" max:"1GiB"`

	// Of held messages, on all nodes. The reports of members have the same limits again, except HeldPerAuthor and HeldFor.
	HeldMessages  int           `yaml:"heldMessages" default:"0" min:"1" max:"1000000"`    // that wait for a decision
	HeldPerAuthor int           `yaml:"heldPerAuthor" default:"100" min:"1" max:"1000000"` // of one user, or of one address without a user
	HeldBytes     ByteSize      `yaml:"heldBytes" default:"0" min:"64KiB" max:"64GiB"`     // of the messages that wait
	HeldFor       time.Duration `yaml:"heldFor" default:"24h" min:"1s" max:"720h"`         // time after which a held message expires, if its rule sets no time
	HeldRetention time.Duration `yaml:"heldRetention" default:"720h" min:"1m" max:"8760h"` // time for which decided messages are kept
}

// EventSink is an address that receives events of a tenant.
type EventSink struct {
	Pos      Pos               `yaml:"-"`
	Included bool              `yaml:"-"`                                                                                                                                                                                                                           // set in an included file
	Name     string            `yaml:"name" check:"name" required:"true"`                                                                                                                                                                                           // unique in the tenant
	URL      string            `yaml:"url" check:"sink" required:"true"`                                                                                                                                                                                            // https; in the operator's own file also http
	Secrets  []Secret          `yaml:"secrets" required:"true"`                                                                                                                                                                                                     // each signs; see events.CheckSecret
	Headers  map[string]Secret `yaml:"headers" key:"header"`                                                                                                                                                                                                        // sent with each request
	Kinds    []string          `yaml:"kinds" oneof:"member.joined member.left room.created room.destroyed sanction.set sanction.removed message.held message.decided message.retracted message.edited message.published report.filed report.resolved rule.decided"` // empty = all but message.published and rule.decided
	Rooms    []string          `yaml:"room" default:"*" check:"glob"`                                                                                                                                                                                               // patterns of package glob; one must match. Events of no room always match
	Batch    int               `yaml:"batch" default:"1" min:"1" max:"1000"`                                                                                                                                                                                        // the most events of a request; above 1 requests have an array
	Timeout  time.Duration     `yaml:"timeout" default:"10s" min:"100ms" max:"1m"`                                                                                                                                                                                  // of a request
}

// Entry is a module's place in a tenant's chain.
type Entry struct {
	Pos       Pos             `yaml:"-"`
	Module    string          `yaml:"module" required:"true"`                                              // a key of Config.Modules
	Rooms     []string        `yaml:"room" default:"*" check:"glob"`                                       // patterns of package glob; one must match
	Hooks     []string        `yaml:"hooks" oneof:"connect join onSayReceive say leave disconnect action"` // empty = all hooks of the module
	Priority  int             `yaml:"priority" default:"100" min:"-1000000" max:"1000000"`                 // lower ones run first, equal ones in the order of the file
	Timeout   time.Duration   `yaml:"timeout" default:"50ms" min:"1ms" max:"10s"`                          // of one message
	Memory    ByteSize        `yaml:"memory" default:"16MiB" min:"64KiB" max:"64MiB"`                      // of one instance
	OnError   string          `yaml:"onError" default:"deny" oneof:"deny allow"`
	OnExpire  string          `yaml:"onExpire" default:"reject" oneof:"reject release"`   // of a message that the module holds
	Isolation string          `yaml:"isolation" default:"instance" oneof:"instance call"` // how long the memory of a module lasts
	Breaker   Breaker         `yaml:"breaker"`
	Grants    []string        `yaml:"grants" check:"capability"` // kv, rate, emit, rooms, sanctions, members, identity, amend, properties:NAME,...
	Mode      string          `yaml:"mode" default:"enforce" oneof:"enforce shadow"`
	Asks      map[string]Ask  `yaml:"asks" key:"ask"` // the services of the module's asks, by name
	NoAsks    bool            `yaml:"-"`              // asks: false. The module, a shadow, asks nothing
	Config    json.RawMessage `yaml:"config"`         // any YAML, as JSON with sorted keys; nil = not given
	Shown     json.RawMessage `yaml:"-"`              // Config with ${...} as written, for display; nil = Config has none
	lists     [32]byte        `yaml:"-"`              // digest of the files of ${lines:...} and ${json:...} in Config; zero = none
	written   *yaml.Node      `yaml:"-"`              // Config as written, until [Config.Forget]; see PosOf
}

// Ask is a service that answers the questions of a module under one name.
type Ask struct {
	Pos         Pos               `yaml:"-"`
	Included    bool              `yaml:"-"`                                              // set in an included file
	URL         string            `yaml:"url" check:"askURL" required:"true"`             // https; in the operator's own file also http
	Method      string            `yaml:"method" default:"POST" oneof:"POST PUT GET"`     // a GET has no body
	Headers     map[string]Secret `yaml:"headers" key:"header"`                           // sent with each request
	Timeout     time.Duration     `yaml:"timeout" default:"1s" min:"10ms" max:"10s"`      // of a question with its answer
	Cache       time.Duration     `yaml:"cache" default:"0s" min:"0s" max:"24h"`          // for which the answer to a body is used again; 0 = each question is a request
	OnError     string            `yaml:"onError" default:"deny" oneof:"deny allow hold"` // hold only at onSayReceive
	Concurrency int               `yaml:"concurrency" default:"16" min:"1" max:"10000"`   // requests at once
	PerSecond   int               `yaml:"perSecond" default:"0" min:"0" max:"1000000"`    // requests; the burst is twice that; 0 = the limit of the tenant
}

// Breaker configures when the breaker of an entry opens and closes.
type Breaker struct {
	Ratio    Share         `yaml:"ratio" default:"0.5" min:"0.001" max:"1"`    // of the calls within Window that fail
	Minimum  int           `yaml:"minimum" default:"20" min:"1" max:"1000000"` // calls within Window before Ratio counts
	Window   time.Duration `yaml:"window" default:"10s" min:"10ms" max:"1h"`
	Cooldown time.Duration `yaml:"cooldown" default:"5s" min:"10ms" max:"1h"` // time that the breaker stays open before it admits probes
	Probes   int           `yaml:"probes" default:"3" min:"1" max:"1000"`     // calls admitted after Cooldown; if all succeed the breaker closes
}

// Path is the name of a file. A relative name is relative to the file that contains it.
type Path struct {
	Written  string // as in the file, with ${...} as written, for messages
	Absolute string // for opening the file
	Within   string // a directory that the path and links on it must not leave; "" = any
}

// String returns the path as written.
func (p Path) String() string { return p.Written }

// Pos is the position of a setting.
type Pos struct {
	File string // as named by the user, or "--set" for an override
	Line int    // from 1; 0 = no line, as in an override or a default
}

// String returns a text such as "config.yaml:42", or only the file if there is no line.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
