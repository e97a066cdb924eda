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
	agreementAge  = 10 * time.Second // time for which answers of nodes are used
	agreementTime = time.Second      // timeout of a question to a node
)

// nodesSeen has the status that each node of the cluster reported.
type nodesSeen struct {
	at    time.Time
	nodes []Node
}

// Differences are the versions and revisions that nodes run, each with the names of its nodes. It does not contain nodes
// that did not answer.
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

// Err returns an error that names the versions or revisions and their nodes. It returns nil if all nodes run the same.
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

// differences compares the nodes of the cluster. It uses the answers of nodes for 10 s, so that probes and scrapes cause
// at most one question to each node in that time.
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

// nodeSeen is the status that a node reported, or the error if it did not answer.
func nodeSeen(name string, n Node, err error) Node {
	if err != nil {
		return Node{Name: name, Error: err.Error()}
	}
	return n
}

// agree is the readiness check that fails while nodes run different versions or revisions. It also fails during an upgrade.
func (s *Server) agree(ctx context.Context) error { return s.differences(ctx).Err() }
