package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	agreementAge  = 10 * time.Second // of answers of nodes that are used again
	agreementTime = time.Second      // for a node to answer
)

// nodesSeen is what the nodes of the cluster said of themselves.
type nodesSeen struct {
	at    time.Time
	nodes []Node
}

// Differences are the versions and revisions that nodes run, each with the names of its
// nodes. A node that did not say is in none.
type Differences struct {
	Versions, Revisions map[string][]string
}

// DifferencesOf compares nodes.
func DifferencesOf(nodes []Node) Differences {
	d := Differences{map[string][]string{}, map[string][]string{}}
	for _, n := range nodes {
		if n.Error == "" {
			d.Versions[n.Version] = append(d.Versions[n.Version], n.Name)
			d.Revisions[n.Revision] = append(d.Revisions[n.Revision], n.Name)
		}
	}
	return d
}

// Err names the nodes that differ; nil: all run the same.
func (d Differences) Err() error {
	return errors.Join(differ("versions", d.Versions), differ("revisions", d.Revisions))
}

func differ(what string, by map[string][]string) error {
	if len(by) < 2 {
		return nil
	}
	var all []string
	for _, value := range slices.Sorted(maps.Keys(by)) {
		shown := value
		if what == "revisions" {
			shown = value[:min(len(value), 8)]
		}
		all = append(all, fmt.Sprintf("%s (%s)", shown, strings.Join(by[value], ", ")))
	}
	return fmt.Errorf("the nodes run %d different %s: %s", len(by), what, strings.Join(all, "; "))
}

// differences compares the nodes of the cluster. It asks them where the answers that it
// has are over 10 s old: probes and scrapes cost the cluster one question to each node
// in that time.
func (s *Server) differences(ctx context.Context) Differences {
	if seen := s.seen.Load(); seen != nil && time.Since(seen.at) < agreementAge {
		return DifferencesOf(seen.nodes)
	}
	v, _, _ := s.looking.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), agreementTime)
		defer cancel()
		var nodes []Node
		if names, err := s.cfg.Engine.Nodes(ctx); err == nil {
			nodes = each(ctx, s, names, agreementTime, question{Ask: askStatus}, nodeSeen)
		}
		s.seen.Store(&nodesSeen{time.Now(), nodes})
		return nodes, nil
	})
	return DifferencesOf(v.([]Node))
}

// nodeSeen is a node as it sees itself, or why it did not say.
func nodeSeen(name string, n Node, err error) Node {
	if err != nil {
		return Node{Name: name, Error: err.Error()}
	}
	return n
}

// agree is the readiness check of nodes that run different programs or rules, which
// is so for a while at each upgrade.
func (s *Server) agree(ctx context.Context) error { return s.differences(ctx).Err() }
