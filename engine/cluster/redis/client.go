package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Timeouts of a connection. A connection that exceeds them counts as broken, and the command is
// sent again on another connection.
const (
	dialTimeout = time.Second
	readTimeout = time.Second
	reloadEvery = 2 * time.Second // interval of reads of a Redis Cluster's layout
)

// operatorConnections is the number of connections to each server for operators' calls. Further
// calls wait for a connection, at most readTimeout and a second.
const operatorConnections = 4

// dial returns a client with a connection pool of the given size per server; 0: 10 per processor.
// The client does not retry commands, because only the callers know which commands may be sent
// twice.
func (c *Config) dial(connections int) redis.UniversalClient {
	u := &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.MasterName, DB: c.Database,
		Username: c.Username, Password: c.Password, TLSConfig: c.TLS, Dialer: c.dialChecked(),
		OnConnect: c.checkGeneration,
		Protocol:  2, DisableIdentity: true, PoolSize: connections,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout,
		ReadTimeout: readTimeout, WriteTimeout: readTimeout, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch c.Mode {
	case Sentinel:
		return redis.NewFailoverClient(u.Failover())
	case Cluster:
		o := u.Cluster()
		o.ClusterStateReloadInterval = reloadEvery
		return redis.NewClusterClient(o)
	}
	return redis.NewClient(u.Simple())
}

// LogLibrary writes the log of go-redis to log at level debug, for the whole program. Call it
// before Open.
func LogLibrary(log *slog.Logger) { redis.SetLogger(libraryLog{log}) }

type libraryLog struct{ log *slog.Logger }

// Printf implements the logging interface of go-redis.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "go-redis", "message", fmt.Sprintf(format, args...))
	}
}

// check returns an error unless the servers meet the requirements of a cluster.
func (c *Config) check(ctx context.Context, client redis.UniversalClient) error {
	if err := c.checkServers(ctx, client); err != nil {
		return err
	}
	for _, tag := range tags(c.Partitions) {
		if err := generationScript.Eval(ctx, client, keys{c.Prefix, tag}.generation()).Err(); err != nil {
			return c.explain(err)
		}
	}
	return nil
}

func (c *Config) checkServers(ctx context.Context, client redis.UniversalClient) error {
	cc, ok := client.(*redis.ClusterClient)
	if !ok {
		return c.checkServer(ctx, client)
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return c.explain(err)
	}
	var first sync.Mutex
	return cc.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		first.Lock()
		defer first.Unlock()
		return c.checkServer(ctx, master)
	})
}

func (c *Config) checkServer(ctx context.Context, client redis.UniversalClient) error {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return c.explain(err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[k] = v
	}
	if c.WaitReplicas > 0 {
		if err := client.Do(ctx, "WAIT", 0, 1).Err(); err != nil {
			return c.explain(err)
		}
	}
	return c.judge(info)
}

// errUnfit marks the error of a server that answers but does not meet the requirements.
var errUnfit = errors.New("redis")

func (c *Config) judge(info map[string]string) error {
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("%w: %s is version %.20q: 7.0 or newer is needed", errUnfit, c.where(), info["redis_version"])
	}
	want := "standalone"
	if c.Mode == Cluster {
		want = "cluster"
	}
	if got := info["redis_mode"]; got != want {
		return fmt.Errorf("%w: %s runs in mode %.20q, but cluster.redis.mode is %q", errUnfit, c.where(), got, c.Mode)
	}
	if c.Mode == Standalone && info["role"] != "master" {
		return fmt.Errorf("%w: %s is a replica: want its master, or mode sentinel", errUnfit, c.where())
	}
	c.checkReplicas(info)
	return c.checkMemory(info)
}

// checkReplicas warns if a master accepts writes without replicas, because a failover loses these
// writes, and if a master has fewer replicas than writes wait for. INFO has
// min_slaves_good_slaves only if min-replicas-to-write is set.
func (c *Config) checkReplicas(info map[string]string) {
	if _, set := info["min_slaves_good_slaves"]; !set && c.Mode != Standalone {
		c.Log.Warn("redis accepts writes that no replica has, and a failover loses them: set min-replicas-to-write 1 and min-replicas-max-lag 10", "redis", c.where())
	}
	if n, _ := strconv.Atoi(info["connected_slaves"]); n < c.WaitReplicas {
		c.Log.Warn("redis has fewer replicas than cluster.redis.waitReplicas: writes of modules and sanctions fail until it has more", "redis", c.where(), "replicas", n, "waitReplicas", c.WaitReplicas)
	}
}

// checkMemory refuses a Redis that may evict keys, because it would lose members, rooms and
// offsets.
func (c *Config) checkMemory(info map[string]string) error {
	policy := info["maxmemory_policy"]
	if policy == "noeviction" || policy == "" {
		return nil
	}
	if info["maxmemory"] != "0" {
		return fmt.Errorf("%w: %s evicts keys when its memory is full (maxmemory-policy %.20s), and would lose members and messages: set maxmemory-policy noeviction", errUnfit, c.where(), policy)
	}
	c.Log.Warn("redis would evict keys if it had a maxmemory: set maxmemory-policy noeviction", "policy", policy)
	return nil
}

// explain adds the cause and the remedy to an error of the first commands.
func (c *Config) explain(err error) error {
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("WRONGPASS"), has("NOAUTH"), has("without any password configured"):
		return fmt.Errorf("redis: %s: wrong username or password: %w", c.where(), err)
	case has("NOPERM"):
		return fmt.Errorf("redis: %s: the user lacks a permission: %w; it needs: ACL SETUSER %s %s", c.where(), err,
			cmp.Or(c.Username, "default"), strings.Join(ACL(c.Prefix, c.Mode, c.WaitReplicas), " "))
	case has("cluster support disabled"):
		return fmt.Errorf("redis: %s is not a Redis Cluster, which mode %q needs: %w", c.where(), c.Mode, err)
	case c.Mode == Sentinel:
		return fmt.Errorf("redis: %s: no sentinel leads to a master named %q: %w", c.where(), c.MasterName, err)
	}
	return fmt.Errorf("redis: cannot reach %s: %w", c.where(), err)
}

// reload makes the client of a Redis Cluster read the layout again. Otherwise the client waits
// for a redirect, which a dead server does not send.
func reload(ctx context.Context, client redis.UniversalClient) {
	if cc, ok := client.(*redis.ClusterClient); ok {
		cc.ReloadState(ctx)
	}
}
