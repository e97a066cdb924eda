// Package config reads config.yaml into plain data.
//
// A Config is the sum of four sources, each stronger than the one before: the defaults
// (the tags of the structs in this package), the file, the environment (${NAME} in a
// value), and overrides such as "http.listen=:9999".
//
// Decoding is strict. What is not known, not of its type or out of its range is a
// [Problem] that names the file, the line and the path of the setting; all of them are
// reported together, as [Problems]. Whether a module's file exists and is sound is not
// asked here; [Pos] lets who asks name the same lines.
//
// A setting is one field: its name in YAML, its default and its limits are tags, which
// decode.go reads.
//
//	yaml:"name"          the key; "-" is not a setting
//	default:"50ms"       as one would write it in YAML
//	min:"1" max:"100"    limits of a number, duration or size, both allowed values
//	oneof:"text json"    the only values
//	check:"glob"         a rule of check.go, for each value of a list
//	key:"name"           the same for the keys of a map
//	required:"true"      may not be left out or empty
//	short:"true"         a text in place of the struct is this field
//	restart:"true"       a server that runs does not take it, nor what is in it
package config

import (
	"encoding/json"
	"fmt"
	"time"
)

// Config is all of the configuration, checked, with defaults where nothing was said.
// It belongs to the caller; this package keeps no reference to it.
type Config struct {
	File       Path              `yaml:"-"`       // the file itself
	Warnings   Problems          `yaml:"-"`       // of settings that are valid and unsafe; nil: none
	Filled     []Filled          `yaml:"-"`       // what ${...} brought in from outside; nil: nothing
	Include    []Include         `yaml:"include"` // files with more modules and tenants; read already
	HTTP       HTTP              `yaml:"http" restart:"true"`
	Socket     Socket            `yaml:"socket" restart:"true"`
	Admin      Admin             `yaml:"admin" restart:"true"`
	Cluster    Cluster           `yaml:"cluster" restart:"true"`
	Limits     Limits            `yaml:"limits"`
	Sessions   Sessions          `yaml:"sessions" restart:"true"`
	Cache      Path              `yaml:"cache" restart:"true"`                          // a directory; "" = moot in the user's cache directory; "off" = none
	Drain      time.Duration     `yaml:"drain" default:"30s" min:"0s" max:"1h"`         // time to let clients go on shutdown; 0 = at once
	DrainDelay time.Duration     `yaml:"drainDelay" default:"0s" min:"0s" max:"10m"`    // between failing readiness and closing the listeners on shutdown
	Watch      bool              `yaml:"watch" default:"false"`                         // reload when a file changes
	Trusted    []string          `yaml:"trustedProxies" check:"network" restart:"true"` // whose word is taken for who connects; see Proxies
	Log        Log               `yaml:"log"`
	Decisions  Decisions         `yaml:"decisions"`
	Telemetry  Telemetry         `yaml:"telemetry" restart:"true"`
	Modules    map[string]Module `yaml:"modules" key:"name"`
	Tenants    map[string]Tenant `yaml:"tenants" key:"name"` // never empty: where the file has none, it is "default" alone
}

// Include names files with more modules and tenants, which tenants may write. In YAML it
// is a pattern, or a mapping with secrets.
//
// An included file has fewer rights than the file that includes it: ${...} is off, except
// ${file:NAME} of Secrets; paths stay under the file's directory; fetches use no
// password of the node and reach only public addresses and [Limits.Networks].
type Include struct {
	Files   string `yaml:"files" required:"true" short:"true"` // a name or a pattern
	Secrets Path   `yaml:"secrets"`                            // the directory of ${file:NAME}, which nothing leads out of; "" = ${...} is off
}

// HTTP is the listener of WebSocket clients.
type HTTP struct {
	Listen           string        `yaml:"listen" default:":8080" check:"address" required:"true"`
	AllowedOrigins   []string      `yaml:"allowedOrigins" check:"origin"` // empty = same host; "*" = any; else "https://host[:port]" or "host"
	TLS              TLS           `yaml:"tls"`
	ProxyProtocol    bool          `yaml:"proxyProtocol" default:"false"`                      // connections from Trusted begin with a PROXY header
	Reading          string        `yaml:"reading" default:"shared" oneof:"shared goroutines"` // how silent clients are waited for
	HandshakeTimeout time.Duration `yaml:"handshakeTimeout" default:"5s" min:"10ms" max:"10m"` // from connecting until all that the client asks for is said
	Demo             bool          `yaml:"demo" default:"false"`                               // serves the demo page at the tenants' "/"
}

// Socket is the listener of TCP clients.
type Socket struct {
	Listen        string         `yaml:"listen" default:":5000" check:"address"` // "" = no TCP server, but for More
	Tenant        string         `yaml:"tenant" default:"default" check:"name"`  // of its clients, but for those whose TLS names another's host; exists, unless Listen is ""
	Delimiter     string         `yaml:"delimiter" default:"\n" check:"delimiter"`
	TLS           TLS            `yaml:"tls"`
	ProxyProtocol bool           `yaml:"proxyProtocol" default:"false"`
	Reading       string         `yaml:"reading" default:"shared" oneof:"shared goroutines"`
	More          []SocketOfMore `yaml:"more"`
}

// SocketOfMore is another listener of TCP clients; its fields are those of Socket.
type SocketOfMore struct {
	Listen        string `yaml:"listen" check:"address" required:"true"`
	Tenant        string `yaml:"tenant" check:"name" required:"true"`
	Delimiter     string `yaml:"delimiter" default:"\n" check:"delimiter"`
	TLS           TLS    `yaml:"tls"`
	ProxyProtocol bool   `yaml:"proxyProtocol" default:"false"`
	Reading       string `yaml:"reading" default:"shared" oneof:"shared goroutines"`
}

// TLS is a certificate; both files, or neither. They may change while it is served.
type TLS struct {
	Pos  Pos  `yaml:"-"`
	Cert Path `yaml:"cert"` // PEM, with what is between it and a root that clients know
	Key  Path `yaml:"key"`  // PEM
}

// Admin is the listener of operators: the server API, metrics and health.
type Admin struct {
	Listen            string            `yaml:"listen" default:"127.0.0.1:9090" check:"address"` // "" = none
	TLS               TLS               `yaml:"tls"`
	Hosts             []string          `yaml:"hosts" check:"host"`                                    // names it may be asked by, besides localhost and IP addresses
	Key               Secret            `yaml:"key"`                                                   // "" = one is made at start, and shown in a text log
	TenantKeys        map[string]Secret `yaml:"tenantKeys" key:"name"`                                 // by tenant: a key for what is that tenant's only
	RequestsPerSecond int               `yaml:"requestsPerSecond" default:"100" min:"1" max:"1000000"` // of each key; the burst is twice that
	Metrics           Metrics           `yaml:"metrics"`
}

// Metrics bounds what a scrape of /metrics brings where there are many tenants.
type Metrics struct {
	Tenants int      `yaml:"tenants" default:"100" min:"0" max:"10000"` // with series of their own; the rest is summed as tenant "other"
	Named   []string `yaml:"named" check:"name"`                        // tenants with series of their own besides those
}

// Cluster says how nodes find each other.
type Cluster struct {
	Backend        string        `yaml:"backend" default:"memory" oneof:"memory redis"`
	Node           string        `yaml:"node" check:"node"`                                 // "" = made from the host's name at start
	Lease          time.Duration `yaml:"lease" default:"10s" min:"1s" max:"1h"`             // how long a silent node is believed to live
	PublishTimeout time.Duration `yaml:"publishTimeout" default:"10s" min:"100ms" max:"5m"` // how long what needs the others may wait for them
	Partitions     int           `yaml:"partitions" default:"16" min:"1" max:"1024"`        // of a Redis Cluster; the same on all nodes, for ever
	Heal           Heal          `yaml:"heal"`
	Redis          Redis         `yaml:"redis"`
}

// Heal bounds what nodes that missed something are given, whatever history clients get.
type Heal struct {
	For         time.Duration `yaml:"for" default:"15s" min:"1s" max:"10m"`
	RoomBytes   ByteSize      `yaml:"roomBytes" default:"16MiB" min:"64KiB" max:"1GiB"`
	TenantBytes ByteSize      `yaml:"tenantBytes" default:"64MiB" min:"64KiB" max:"64GiB"`
	TotalBytes  ByteSize      `yaml:"totalBytes" default:"256MiB" min:"64KiB" max:"1024GiB"`
	NodeBytes   ByteSize      `yaml:"nodeBytes" default:"64MiB" min:"64KiB" max:"64GiB"`
}

// Redis is where nodes meet, if Backend is "redis".
type Redis struct {
	Mode       string   `yaml:"mode" default:"standalone" oneof:"standalone sentinel cluster"`
	Addresses  []string `yaml:"addresses" default:"127.0.0.1:6379" check:"server"` // of the server; of the sentinels; of some of the cluster's servers
	Username   string   `yaml:"username"`                                          // "" = Redis' default user
	Password   Secret   `yaml:"password"`                                          // empty = none is sent
	Database   int      `yaml:"database" default:"0" min:"0" max:"1000000"`        // 0 in mode cluster
	MasterName string   `yaml:"masterName"`                                        // in mode sentinel, which needs it
	TLS        bool     `yaml:"tls" default:"false"`
	CA         Path     `yaml:"ca"`   // a PEM file; "" = the system's certificates
	Cert       Path     `yaml:"cert"` // PEM files, for a Redis that wants to know its clients; "" = none
	Key        Path     `yaml:"key"`
	Prefix     string   `yaml:"prefix" default:"moot" check:"name"` // of all keys; clusters that differ in it may share a Redis

	WaitReplicas int           `yaml:"waitReplicas" default:"0" min:"0" max:"10"` // that must have what a module writes
	WaitTimeout  time.Duration `yaml:"waitTimeout" default:"25ms" min:"1ms" max:"10s"`
}

// Limits hold for every client of this node.
type Limits struct {
	PrivateNetworks     []string      `yaml:"privateNetworks" check:"network"`                       // from which what an included file names may be fetched, and to which what is fetched may lead; see Networks
	MessageBytes        ByteSize      `yaml:"messageBytes" default:"64KiB" min:"64" max:"1MiB"`      // of one frame or line from a client
	Connections         int           `yaml:"connections" default:"100000" min:"1" max:"10000000"`   // on this node
	ConnectionsPerIP    int           `yaml:"connectionsPerIP" default:"0" min:"0" max:"10000000"`   // to each tenant; 0 = no limit
	RoomsPerConnection  int           `yaml:"roomsPerConnection" default:"100" min:"1" max:"100000"` // a connection may be in at once
	VerbsPerSecond      int           `yaml:"verbsPerSecond" default:"50" min:"1" max:"1000000"`     // of one connection; the burst is twice that
	SimultaneousActions int           `yaml:"simultaneousActions" default:"5" min:"1" max:"1000"`    // of one connection
	ModuleCPU           Share         `yaml:"moduleCPU" default:"0.5" min:"0.01" max:"1"`            // of the processors, that one tenant's modules may use
	ModuleMemory        ByteSize      `yaml:"moduleMemory" default:"1GiB" min:"64MiB" max:"1024GiB"` // of all instances of modules; half of it in equal parts for each tenant alone
	ChainTimeout        time.Duration `yaml:"chainTimeout" default:"250ms" min:"1ms" max:"1m"`       // for all modules of a chain together, about one message
	VerbTimeout         time.Duration `yaml:"verbTimeout" default:"15s" min:"100ms" max:"10m"`       // of a verb or an action of a client, as a whole
	OutboxBytes         ByteSize      `yaml:"outboxBytes" default:"1MiB" min:"1KiB" max:"1GiB"`      // waiting for one reader; a slower one is disconnected
	WriteTimeout        time.Duration `yaml:"writeTimeout" default:"5s" min:"10ms" max:"10m"`        // of one write to a client
}

// Sessions outlive the connections of clients that are lost.
type Sessions struct {
	Grace time.Duration `yaml:"grace" default:"0s" min:"0s" max:"1h"` // for a client to come back; 0 = none
}

// Log says what is logged, and how. Levels are those of log/slog.
type Log struct {
	Level  string `yaml:"level" default:"info" oneof:"debug info warn error"`
	Format string `yaml:"format" default:"text" oneof:"text json" restart:"true"`
}

// Decisions says what is kept of what modules decide: what they deny, drop, rewrite and
// fail at, and where a shadow differs.
type Decisions struct {
	Ring         int  `yaml:"ring" default:"256" min:"1" max:"100000"`           // the latest so many of each module of each tenant
	SampleAllows int  `yaml:"sampleAllows" default:"0" min:"0" max:"1000000000"` // one of so many allows too; 0 = none
	Log          bool `yaml:"log" default:"false"`                               // log lines too, of each module at most 20 a second
	Text         bool `yaml:"text" default:"false"`                              // with the text of messages
}

// Telemetry says where traces go: OTLP over HTTP, in protobuf.
type Telemetry struct {
	Endpoint string            `yaml:"endpoint" check:"url"`                      // of the collector; without a path, /v1/traces; "" = no traces
	Headers  map[string]Secret `yaml:"headers" key:"header"`                      // sent with each request
	Sample   Share             `yaml:"sample" default:"0.01" min:"0.001" max:"1"` // of verbs that are traced, with all that comes of them
}

// Module is a file that chain entries name. It comes from one place: one of File, Script,
// URL and OCI is set.
type Module struct {
	Pos    Pos    `yaml:"-"`                     // of its name
	Guest  bool   `yaml:"-"`                     // an included file names it
	File   Path   `yaml:"file"`                  // a WebAssembly module
	Script Path   `yaml:"script"`                // of JavaScript, TypeScript or Lua, by its ending
	URL    string `yaml:"url" check:"source"`    // https: of either, by the ending of its path; with SHA256
	OCI    string `yaml:"oci" check:"oci"`       // an artifact in a registry, with a WebAssembly module in it
	SHA256 string `yaml:"sha256" check:"sha256"` // of the file: 64 hex digits in lower case; "" = not checked
}

// Tenant is one isolated world.
type Tenant struct {
	Pos    Pos          `yaml:"-"` // of its name
	Match  Match        `yaml:"match"`
	Auth   Auth         `yaml:"auth"`
	Rooms  Rooms        `yaml:"rooms"`
	Limits TenantLimits `yaml:"limits"`
	Chain  []Entry      `yaml:"chain"` // as written, not sorted by priority
}

// Match says which HTTP clients are a tenant's: those that asked for one of the hosts, or
// for a path that begins with one of the paths. A path goes before a host, a longer path
// before a shorter one; no two tenants have the same. What matches nothing is the tenant
// "default".
type Match struct {
	Host []string `yaml:"host" check:"host"` // names without port, in lower case
	Path []string `yaml:"path" check:"path"` // of the URL, whole segments from its start, such as "/acme"
}

// Auth says who a tenant's clients are.
type Auth struct {
	JWT JWT `yaml:"jwt"`
}

// JWT is how a tenant's tokens are checked. Without a key there are none, and the rest
// says nothing.
type JWT struct {
	Pos        Pos      `yaml:"-"`                 // of what is written for it
	Guest      bool     `yaml:"-"`                 // an included file names it
	Secret     Secret   `yaml:"secret"`            // one of these three is set, or none
	PublicKey  string   `yaml:"publicKey"`         // PEM
	JWKS       Path     `yaml:"jwks" check:"jwks"` // of a URL, both Written and Absolute
	Audience   []string `yaml:"audience"`          // one of these is the token's; empty = any
	Issuer     string   `yaml:"issuer"`            // "" = any
	Required   bool     `yaml:"required" default:"false"`
	Properties []string `yaml:"properties" check:"property"` // claims
}

// Keys says whether there are any tokens.
func (j JWT) Keys() bool {
	return j.Secret.Reveal() != "" || j.PublicKey != "" || j.JWKS.Written != ""
}

// Rooms says which rooms a tenant has.
type Rooms struct {
	Starting         []string       `yaml:"starting" check:"room"` // made at start, and those that are new at reload
	ClientsMayCreate bool           `yaml:"clientsMayCreate" default:"false"`
	Settings         []RoomSettings `yaml:"settings"` // the first whose Match fits a room holds for it
}

// RoomSettings hold for the rooms whose names fit Match.
type RoomSettings struct {
	Match      string        `yaml:"match" default:"*" check:"glob"`
	MaxMembers int           `yaml:"maxMembers" default:"0" min:"0" max:"10000000"` // 0 = no limit
	History    int           `yaml:"history" default:"0" min:"0" max:"10000"`       // messages that are kept; 0 = none
	HistoryTTL time.Duration `yaml:"historyTTL" default:"5m" min:"1s" max:"168h"`   // each of them, at least
	Ephemeral  bool          `yaml:"ephemeral" default:"false"`                     // nothing is kept, not even for nodes to heal by; no history
	Presence   bool          `yaml:"presence" default:"false"`                      // members may hear who joins and leaves
	FlushDelay time.Duration `yaml:"flushDelay" default:"0s" min:"0s" max:"1s"`     // that a message may wait for others
}

// TenantLimits hold for one tenant. Those that the node has too are 0 for the node's, and
// may not be higher.
type TenantLimits struct {
	Connections         int      `yaml:"connections" default:"0" min:"0" max:"10000000"`       // on this node; 0 = only the node's limit
	Rooms               int      `yaml:"rooms" default:"10000" min:"0" max:"10000000"`         // 0 = no limit
	MessagesPerSecond   int      `yaml:"messagesPerSecond" default:"0" min:"0" max:"10000000"` // on this node; 0 = no limit; the burst is twice that
	MessageBytes        ByteSize `yaml:"messageBytes" default:"0" min:"0" max:"1MiB"`
	ConnectionsPerIP    int      `yaml:"connectionsPerIP" default:"0" min:"0" max:"10000000"` // may be higher
	RoomsPerConnection  int      `yaml:"roomsPerConnection" default:"0" min:"0" max:"100000"`
	VerbsPerSecond      int      `yaml:"verbsPerSecond" default:"0" min:"0" max:"1000000"`
	SimultaneousActions int      `yaml:"simultaneousActions" default:"0" min:"0" max:"1000"`
	ModuleCPU           Share    `yaml:"moduleCPU" default:"0" min:"0" max:"1"`
	OutboxBytes         ByteSize `yaml:"outboxBytes" default:"0" min:"0" max:"1GiB"`
}

// Entry is a module's place in a tenant's chain.
type Entry struct {
	Pos      Pos             `yaml:"-"`
	Module   string          `yaml:"module" required:"true"`                                              // a key of Config.Modules
	Rooms    []string        `yaml:"room" default:"*" check:"glob"`                                       // patterns of package glob; one that fits is enough
	Hooks    []string        `yaml:"hooks" oneof:"connect join onSayReceive say leave disconnect action"` // empty = all that the module has
	Priority int             `yaml:"priority" default:"100" min:"-1000000" max:"1000000"`                 // low ones first, equal ones as written
	Timeout  time.Duration   `yaml:"timeout" default:"50ms" min:"1ms" max:"10s"`                          // of one message
	Memory   ByteSize        `yaml:"memory" default:"16MiB" min:"64KiB" max:"64MiB"`                      // of one instance
	OnError  string          `yaml:"onError" default:"deny" oneof:"deny allow"`
	Breaker  Breaker         `yaml:"breaker"`
	Grants   []string        `yaml:"grants" check:"capability"` // kv, rate, emit, rooms, properties:NAME,...
	Mode     string          `yaml:"mode" default:"enforce" oneof:"enforce shadow"`
	Config   json.RawMessage `yaml:"config"` // any YAML, as JSON with sorted keys; nil = not given
	Shown    json.RawMessage `yaml:"-"`      // Config to show: ${...} as it is written; nil = Config itself
}

// Breaker says when a module that fails too often is not asked for a while.
type Breaker struct {
	Ratio    Share         `yaml:"ratio" default:"0.5" min:"0.001" max:"1"`    // of the calls within Window that fail
	Minimum  int           `yaml:"minimum" default:"20" min:"1" max:"1000000"` // calls within Window before Ratio counts
	Window   time.Duration `yaml:"window" default:"10s" min:"10ms" max:"1h"`
	Cooldown time.Duration `yaml:"cooldown" default:"5s" min:"10ms" max:"1h"` // until it is probed
	Probes   int           `yaml:"probes" default:"3" min:"1" max:"1000"`     // calls at a time after Cooldown; if all succeed the breaker closes
}

// Path is a file's name. A relative one is relative to the file that names it.
type Path struct {
	Written  string // as in the file, with ${...} as it is written, for messages
	Absolute string // for opening it
	Within   string // the directory that it does not lead out of, nor a link in it; "" = none
}

// String is the path as it was written.
func (p Path) String() string { return p.Written }

// Pos is the place of a setting.
type Pos struct {
	File string // as the file was named, or "--set" for an override
	Line int    // from 1; 0 = no line, as in an override or a default
}

// String is "config.yaml:42".
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
