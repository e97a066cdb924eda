package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// ConnectionQuery selects a page of a tenant's connections.
type ConnectionQuery struct {
	User   string // only those of this user; "": all
	Cursor string // of the page before; "": the first page
	Limit  int    // size of the page; below 1 and above 200: 200
}

// ConnectionPage is a page of a tenant's connections.
type ConnectionPage struct {
	Connections []ConnectionInfo // without properties
	Cursor      string           // of the next page; "" at the end
	Lost        []string         // nodes that did not answer; their connections are missing
}

const (
	maxListed = 200                    // maximum number of connections in a page
	listTime  = 3 * time.Second        // the time in which all nodes must answer
	slowList  = 250 * time.Millisecond // after this time a page asks the remaining nodes all at once
)

// Connections returns a page of the tenant's connections, node by node. A connection that exists from the first page to the last is on one of
// them, unless its node is in Lost. The nodes take at most 3 s, however many of them do not answer. With q.User, the last
// pages have the parked sessions of the user, whose Node is empty; their cost grows with the number of all parked sessions.
func (e *Engine) Connections(ctx context.Context, tenant string, q ConnectionQuery) (page ConnectionPage, err error) {
	if _, err := e.tenant(tenant); err != nil {
		return page, err
	}
	limit := q.Limit
	if limit < 1 || limit > maxListed {
		limit = maxListed
	}
	nodes, err := e.Nodes(ctx)
	if err != nil {
		return page, err
	}
	first, last, _ := strings.Cut(q.Cursor, "/") // the connection may be on another node than its id names
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(node string) bool { return node < first })
	page, err = e.connectionsOf(ctx, nodes, limit, func(node string, limit int) call {
		c := call{Do: callList, Tenant: tenant, User: q.User, Limit: limit}
		if node == first {
			c.Connection = last
		}
		return c
	})
	if rest := limit - len(page.Connections); err == nil && q.User != "" && rest > 0 {
		if first != parkedNode {
			last = ""
		}
		var parked []ConnectionInfo
		parked, err = e.parkedOfUser(ctx, tenant, q.User, last, rest)
		page.Connections = append(page.Connections, parked...)
	}
	if n := len(page.Connections); n == limit { // there may be more on this node or another one
		last := page.Connections[n-1]
		page.Cursor = cmp.Or(last.Node, parkedNode) + "/" + last.ID
	}
	return page, err
}

// connectionsOf asks the nodes until the page has limit connections. It asks one node after
// the other, so that no node lists more connections than fit. If a node is slow, it asks
// all remaining nodes at once.
func (e *Engine) connectionsOf(ctx context.Context, nodes []string, limit int, of func(node string, limit int) call) (page ConnectionPage, err error) {
	limited, cancel := context.WithTimeout(ctx, listTime)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	type answer struct {
		list []ConnectionInfo
		err  error
	}
	var answers []chan answer // one for each node that was asked
	ask := func() {
		node, got := nodes[len(answers)], make(chan answer, 1)
		answers = append(answers, got)
		c := of(node, limit-len(page.Connections))
		asked.Go(func() {
			list, err := e.listOf(limited, node, c)
			got <- answer{list, err}
		})
	}
	slow := time.NewTimer(slowList)
	defer slow.Stop()
	for i := 0; i < len(nodes) && len(page.Connections) < limit; i++ {
		if i == len(answers) {
			slow.Reset(slowList)
			ask()
		}
		var a answer
		select {
		case a = <-answers[i]:
		case <-slow.C:
			for len(answers) < len(nodes) {
				ask()
			}
			a = <-answers[i]
		}
		switch {
		case ctx.Err() != nil:
			return page, fmt.Errorf("connections of node %s: %w", nodes[i], context.Cause(ctx))
		case a.err != nil:
			page.Lost = append(page.Lost, nodes[i])
		}
		page.Connections = append(page.Connections, a.list[:min(len(a.list), limit-len(page.Connections))]...)
	}
	return page, nil
}

// listOf asks one node. The list is empty if the node has left the cluster or does not have
// the tenant.
func (e *Engine) listOf(ctx context.Context, node string, c call) ([]ConnectionInfo, error) {
	value, err := e.ask(ctx, node, c)
	switch {
	case errors.Is(err, cluster.ErrNoNode), errors.Is(err, ErrNoTenant):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var listed list
	if err = json.Unmarshal(value, &listed); err == nil && listed.User != c.User {
		err = fmt.Errorf("node %s runs a version without users", node)
	}
	if err != nil {
		return nil, err
	}
	return listed.Connections, nil
}
