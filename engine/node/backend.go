package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/events"
	eventmemory "github.com/mootchat/moot/engine/events/memory"
	eventredis "github.com/mootchat/moot/engine/events/redis"
	eventfile "github.com/mootchat/moot/engine/events/sqlite"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/engine/moderation"
	sanctionmemory "github.com/mootchat/moot/engine/moderation/memory"
	sanctionredis "github.com/mootchat/moot/engine/moderation/redis"
	sanctionfile "github.com/mootchat/moot/engine/moderation/sqlite"
	"github.com/mootchat/moot/engine/review"
	reviewmemory "github.com/mootchat/moot/engine/review/memory"
	reviewredis "github.com/mootchat/moot/engine/review/redis"
	reviewfile "github.com/mootchat/moot/engine/review/sqlite"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/store"
	redisstore "github.com/mootchat/moot/host/store/redis"
)

// backend is the node's access to the state that nodes share.
type backend struct {
	cluster   cluster.Backend
	store     store.Store // store for modules; nil: the host has one in memory
	operators store.Store // the same store for operators, with its own connections; nil if store is nil
	sanctions moderation.Store
	review    review.Store
	events    events.Store
	close     func() error // called after the engine has ended
}

// openBackend opens the backend that the configuration names. cache is for the machine code of SQLite.
func (n *Node) openBackend(ctx context.Context, cache *diskcache.Cache) (*backend, error) {
	if n.cfg.Cluster.Backend == "memory" {
		b := &backend{cluster: memory.New().Node(n.name), sanctions: &volatile{log: n.log}, review: &volatileReview{log: n.log},
			events: &eventmemory.Store{Limits: eventLimits(n.cfg.Limits)}, close: func() error { return nil }}
		if dir := n.cfg.Data; dir.Written != "" {
			file, err := datafile.Open(ctx, dir.Absolute, host.Compilations(cache, n.log))
			if err != nil {
				return nil, fmt.Errorf("data: %w", err)
			}
			waiting := eventfile.New(file)
			waiting.Limits = eventLimits(n.cfg.Limits)
			b.sanctions, b.review, b.events, b.close = sanctionfile.New(file), reviewfile.New(file), waiting, file.Close
		}
		return b, nil
	}
	rc, err := redisConfig(ctx, n.cfg.Cluster)
	if err != nil {
		return nil, err
	}
	rc.Node, rc.Log, rc.Hook = n.name, n.log, n.redis
	if n.traces != nil {
		rc.Instrument = n.traces.Redis
	}
	redis.LogLibrary(n.log)
	opened, err := redis.Open(ctx, rc)
	if err != nil {
		return nil, fmt.Errorf("cluster.redis: %w", err)
	}
	store := redisstore.New(opened.Client(), rc.Prefix)
	store.Wait = durable.Wait{Replicas: n.cfg.Cluster.Redis.WaitReplicas, For: n.cfg.Cluster.Redis.WaitTimeout}
	sanctions := sanctionredis.New(opened.Client(), rc.Prefix, n.log)
	sanctions.Wait = durable.Wait{Replicas: store.Wait.Replicas, For: max(store.Wait.For, sanctionWait)}
	queue := reviewredis.New(opened.Client(), rc.Prefix, n.log)
	queue.Wait = sanctions.Wait
	waiting := eventredis.New(opened.Client(), rc.Prefix, n.log)
	waiting.Limits, waiting.Wait = eventLimits(n.cfg.Limits), sanctions.Wait
	return &backend{cluster: opened.Cluster(), store: store, operators: store.WithClient(opened.Operators()), sanctions: sanctions, review: queue, events: waiting,
		close: func() error { return errors.Join(store.Close(), sanctions.Close(), queue.Close(), opened.Close()) }}, nil
}

// sanctionWait is the least time for which a sanction, or a change of the review queue, waits for replicas: a moderator can wait
// longer than a module.
const sanctionWait = time.Second

// volatile is a store of sanctions in memory. It warns of that when it receives the first sanction.
type volatile struct {
	sanctionmemory.Store
	log  *slog.Logger
	once sync.Once
}

// Set implements moderation.Store.
func (v *volatile) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	v.once.Do(func() {
		v.log.Warn("sanctions are in memory and end with the process: set data to a directory, or cluster.backend to redis, to keep them")
	})
	return v.Store.Set(ctx, one)
}

// volatileReview is a review queue in memory. It warns of that when it receives the first item.
type volatileReview struct {
	reviewmemory.Store
	log  *slog.Logger
	once sync.Once
}

// Put implements review.Store.
func (v *volatileReview) Put(ctx context.Context, one review.Item, limits review.Limits) (review.Item, error) {
	v.once.Do(func() {
		v.log.Warn("held messages and reports are in memory and end with the process: set data to a directory, or cluster.backend to redis, to keep them")
	})
	return v.Store.Put(ctx, one, limits)
}

func redisConfig(ctx context.Context, c config.Cluster) (redis.Config, error) {
	r := c.Redis
	security, err := redisTLS(ctx, r)
	return redis.Config{
		Mode: redis.Mode(r.Mode), Addresses: r.Addresses, Username: r.Username, Password: r.Password.Reveal(),
		Database: r.Database, MasterName: r.MasterName, TLS: security, Prefix: r.Prefix,
		Lease: c.Lease, PublishTimeout: c.PublishTimeout, Partitions: c.Partitions, WaitReplicas: r.WaitReplicas,
		Heal: redis.Heal{For: c.Heal.For, RoomBytes: int64(c.Heal.RoomBytes), TenantBytes: int64(c.Heal.TenantBytes),
			TotalBytes: int64(c.Heal.TotalBytes), NodeBytes: int64(c.Heal.NodeBytes)},
	}, err
}

// maxPEM bounds a file of certificates or keys, in bytes.
const maxPEM = 1 << 20

// redisTLS returns the TLS configuration for Redis; nil: no TLS.
func redisTLS(ctx context.Context, r config.Redis) (*tls.Config, error) {
	if !r.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("it was not read within %v", readTime))
	defer cancel()
	var disk files.Waiter
	if r.CA.Written != "" {
		pem, err := disk.Read(ctx, r.CA.Absolute, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("cluster.redis.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, ConfigError{fmt.Errorf("cluster.redis.ca: %s has no certificate in PEM form", r.CA)}
		}
	}
	if r.Cert.Written != "" {
		cert, err := disk.Read(ctx, r.Cert.Absolute, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("cluster.redis.cert: %w", err)
		}
		key, err := disk.Read(ctx, r.Key.Absolute, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("cluster.redis.key: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, ConfigError{errors.New("cluster.redis.cert: " + err.Error())}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
