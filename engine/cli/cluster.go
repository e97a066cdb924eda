package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/host/store"
	redisstore "github.com/mootchat/moot/host/store/redis"
)

// ground is what the node has in common with others.
type ground struct {
	cluster engine.Cluster
	store   store.Store  // of modules; nil: in the host's own memory
	ofAPI   store.Store  // the same for operators, by connections of their own; nil where store is
	close   func() error // ends what openCluster began, once the engine has run
}

func openCluster(ctx context.Context, on *node) (*ground, error) {
	if on.cfg.Cluster.Backend == "memory" {
		return &ground{memory.New().Node(on.name), nil, nil, func() error { return nil }}, nil
	}
	rc, err := redisConfig(ctx, on.cfg.Cluster)
	if err != nil {
		return nil, err
	}
	rc.Node, rc.Log, rc.Hook = on.name, on.log, on.trips
	if on.traces != nil {
		rc.Instrument = on.traces.Redis
	}
	redis.LogLibrary(on.log)
	n, err := redis.Open(ctx, rc)
	if err != nil {
		return nil, fmt.Errorf("cluster.redis: %w", err)
	}
	store := redisstore.New(n.Client(), rc.Prefix)
	store.Wait = redisstore.Wait{Replicas: on.cfg.Cluster.Redis.WaitReplicas, For: on.cfg.Cluster.Redis.WaitTimeout}
	return &ground{n.Cluster(), store, store.Through(n.Operators()), func() error { return errors.Join(store.Close(), n.Close()) }}, nil
}

func redisConfig(ctx context.Context, c config.Cluster) (redis.Config, error) {
	r := c.Redis
	security, err := redisTLS(ctx, r)
	return redis.Config{
		Mode: redis.Mode(r.Mode), Addresses: r.Addresses, Username: r.Username, Password: r.Password.Reveal(),
		Database: r.Database, MasterName: r.MasterName, TLS: security, Prefix: r.Prefix,
		Lease: c.Lease, PublishTimeout: c.PublishTimeout, Partitions: c.Partitions,
		Heal: redis.Heal{For: c.Heal.For, RoomBytes: int64(c.Heal.RoomBytes), TenantBytes: int64(c.Heal.TenantBytes),
			TotalBytes: int64(c.Heal.TotalBytes), NodeBytes: int64(c.Heal.NodeBytes)},
	}, err
}

// maxPEM is how many bytes a file of certificates or keys may have.
const maxPEM = 1 << 20

// redisTLS is how Redis is reached; nil: without TLS.
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
			return nil, misuse{fmt.Errorf("cluster.redis.ca: %s holds no certificate in PEM form", r.CA)}
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
			return nil, misuse{errors.New("cluster.redis.cert: " + err.Error())}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
