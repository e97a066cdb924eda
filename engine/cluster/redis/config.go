package redis

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Mode is the kind of Redis deployment.
type Mode string

// The modes. The zero Mode is Standalone.
const (
	Standalone Mode = "standalone" // one server
	Sentinel   Mode = "sentinel"   // a master, its replicas, and sentinels that choose the next master
	Cluster    Mode = "cluster"    // several masters that share the keys
)

// Config is the configuration of a node on Redis.
type Config struct {
	Mode Mode

	// Addresses has the HOST:PORT of the server, of the sentinels, or of some servers of
	// the Redis Cluster. The default is 127.0.0.1:6379; in mode Sentinel there is no default.
	Addresses []string

	Username string // "": Redis' default user
	Password string // "": no password is sent; sentinels never receive it
	Database int    // must be 0 in mode Cluster

	// MasterName is the master's name in the sentinels' configuration. It is required in
	// mode Sentinel, and not allowed in other modes.
	MasterName string

	TLS *tls.Config // nil: none

	// Prefix is the first part of every key and channel: [a-z0-9-]{1,63}; "" is moot. Deployments
	// with different prefixes may share a Redis.
	Prefix string

	// Node is this node's name: [a-z0-9-]{1,63}, unique in the cluster.
	Node string

	// Lease is the time after which a silent node counts as dead and its members are
	// removed: 1 s to 1 h, 0 is 10 s.
	Lease time.Duration

	// PublishTimeout bounds the time in which a call tries to reach Redis: 100 ms or more, 0 is
	// 10 s.
	PublishTimeout time.Duration

	// Partitions is the number of parts of the keys: 1 to 1024, 0 is 16. It is the same on all
	// nodes and never changes. Modes other than Cluster have one partition.
	Partitions int

	// WaitReplicas is the number of replicas that must confirm a write to the store of modules, or
	// a sanction: 0 to 10. Open checks that the user has the permission to wait for replicas.
	WaitReplicas int

	// Heal bounds the messages that rooms keep for nodes that missed messages.
	Heal Heal

	Log *slog.Logger // nil: nothing is logged

	// Instrument is called for each client before the client is used, and may add hooks for
	// traces. The ctx of a command has the values of the caller's ctx. The ctx of a batch of
	// messages has the values of the first message's ctx. nil: no hook is added.
	Instrument func(redis.UniversalClient) error

	// Hook is added to each client before the client is used; nil: none. It is called for every
	// command, even if Instrument adds no hook.
	Hook redis.Hook

	// dialer connects to a server; nil: over TCP. Tests use it to cut nodes off.
	dialer dialer
}

// Heal bounds the messages that rooms keep so that nodes can heal, independent of the history for
// clients: the messages of the last For, within the byte limits. A room that exceeds a limit
// drops older messages, and a node that missed them counts a gap.
type Heal struct {
	For         time.Duration // 1 s to 10 min, 0 is 15 s
	RoomBytes   int64         // limit of a room; 0 is 16 MiB
	TenantBytes int64         // limit of a tenant in each partition; 0 is 64 MiB
	TotalBytes  int64         // limit of all messages in Redis, divided equally among the partitions; 0 is 256 MiB
	NodeBytes   int64         // limit of the messages that this node keeps to publish them again after a failover; 0 is 64 MiB
}

func (h Heal) complete() Heal {
	return Heal{
		For: cmp.Or(h.For, 15*time.Second), RoomBytes: cmp.Or(h.RoomBytes, 16<<20), TenantBytes: cmp.Or(h.TenantBytes, 64<<20),
		TotalBytes: cmp.Or(h.TotalBytes, 256<<20), NodeBytes: cmp.Or(h.NodeBytes, 64<<20),
	}
}

var name = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// complete returns the config with its defaults, or an error with all problems.
func (c Config) complete() (Config, error) {
	c.Mode = cmp.Or(c.Mode, Standalone)
	c.Prefix = cmp.Or(c.Prefix, "moot")
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, 10*time.Second)
	c.Heal = c.Heal.complete()
	if c.Mode != Cluster {
		c.Partitions = 1
	}
	c.Partitions = cmp.Or(c.Partitions, 16)
	if len(c.Addresses) == 0 && c.Mode != Sentinel {
		c.Addresses = []string{"127.0.0.1:6379"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, c.problems()
}

func (c *Config) problems() error {
	var wrong []error
	say := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf("redis: "+format, args...))
		}
	}
	say(!slices.Contains([]Mode{Standalone, Sentinel, Cluster}, c.Mode), "mode %q: want standalone, sentinel or cluster", c.Mode)
	say(c.Mode == Standalone && len(c.Addresses) > 1, "%d addresses: a standalone Redis has one", len(c.Addresses))
	say(c.Mode == Sentinel && len(c.Addresses) == 0, "no addresses: want those of the sentinels")
	for _, a := range c.Addresses {
		_, port, err := net.SplitHostPort(a)
		say(err != nil || port == "", "address %q: want host:port", a)
	}
	say(c.Mode == Sentinel && c.MasterName == "", "no master name: sentinels are asked for a master by name")
	say(c.Mode != Sentinel && c.MasterName != "", "master name %q: only sentinels know masters by name", c.MasterName)
	say(c.Database < 0, "database %d: want 0 or more", c.Database)
	say(c.Mode == Cluster && c.Database != 0, "database %d: a Redis Cluster has only database 0", c.Database)
	say(!name.MatchString(c.Prefix), "prefix %q: want 1 to 63 of a-z, 0-9 and -", c.Prefix)
	say(!name.MatchString(c.Node), "node name %q: want 1 to 63 of a-z, 0-9 and -", c.Node)
	say(c.Lease < time.Second || c.Lease > time.Hour, "lease %v: want 1s to 1h", c.Lease)
	say(c.PublishTimeout < 100*time.Millisecond, "publish timeout %v: want 100ms or more", c.PublishTimeout)
	say(c.Heal.For < time.Second || c.Heal.For > 10*time.Minute, "heal for %v: want 1s to 10m", c.Heal.For)
	for _, bytes := range []int64{c.Heal.RoomBytes, c.Heal.TenantBytes, c.Heal.TotalBytes, c.Heal.NodeBytes} {
		say(bytes < 64<<10, "heal bytes %d: want 65536 or more", bytes)
	}
	say(c.WaitReplicas < 0 || c.WaitReplicas > 10, "wait for %d replicas: want 0 to 10", c.WaitReplicas)
	say(c.Partitions < 1 || c.Partitions > 1024, "%d partitions: want 1 to 1024", c.Partitions)
	return errors.Join(wrong...)
}

// where returns the mode and the addresses of the servers, for errors.
func (c *Config) where() string { return string(c.Mode) + " " + strings.Join(c.Addresses, ", ") }
