package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// The token of a connection names its user, or a module does. Each node has an index of its own connections by
// user, and an operation on a user asks all nodes that have a lease. Thus a connection with a user
// costs the cluster nothing, and the connections of a node that died are gone with its lease. No node holds parked
// sessions; see parkedusers.go.

// userTime is the time in which all nodes must answer a call about a user.
const userTime = 3 * time.Second

// indexUser changes the index after a change of the connection's user.
func (e *Engine) indexUser(c *Connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections[c.ID()] == c {
		c.setIndexed(c.profile.Load().User)
	}
}

// setIndexed changes the user under which the tenant's index has the connection; "": none. The caller
// holds Engine.mu.
func (c *Connection) setIndexed(user string) {
	if c.indexed == user {
		return
	}
	users := c.tenant.users
	if c.indexed != "" {
		rest := slices.DeleteFunc(users[c.indexed], func(other *Connection) bool { return other == c })
		if users[c.indexed] = rest; len(rest) == 0 {
			delete(users, c.indexed)
		}
	}
	if c.indexed = user; user != "" {
		users[user] = append(users[user], c)
	}
}

// connectionsOfUser returns the accepted connections of a user on this node, sorted by id.
func (e *Engine) connectionsOfUser(t *tenant, user string) []*Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	of := slices.DeleteFunc(slices.Clone(t.users[user]), func(c *Connection) bool { return !c.admitted.Load() })
	slices.SortFunc(of, func(a, b *Connection) int { return cmp.Compare(a.ID(), b.ID()) })
	return of
}

// UserStatus is a user of a tenant who has connections.
type UserStatus struct {
	Connections []ConnectionInfo // without properties; at most 200; parked sessions come last and have no node
	More        bool             // there are further connections
	Rooms       []string         // of Connections, sorted
	Lost        []string         // nodes that did not answer; their connections are missing
}

// User returns the connections of a user on all nodes and their rooms. A user without
// connections is no error.
func (e *Engine) User(ctx context.Context, tenant, user string) (s UserStatus, err error) {
	page, err := e.Connections(ctx, tenant, ConnectionQuery{User: user, Limit: maxListed})
	if err != nil {
		return s, err
	}
	s = UserStatus{Connections: page.Connections, More: page.Cursor != "", Rooms: []string{}, Lost: page.Lost}
	for _, c := range page.Connections {
		s.Rooms = append(s.Rooms, c.Rooms...)
	}
	slices.Sort(s.Rooms)
	s.Rooms = slices.Compact(s.Rooms)
	return s, nil
}

// Reached is the result of an operation on the connections of a user.
type Reached struct {
	Connections int      `json:"connections" doc:"The number of connections that the operation reached. A close also counts sessions that could be resumed."`
	Lost        []string `json:"unreachable,omitempty" doc:"Nodes that did not answer, or run a version without users: it is unknown whether they have reached connections of the user."`
}

// SendToUser sends a JSON value to all connections of a user that are not away. An object
// without a context gets the context "api".
func (e *Engine) SendToUser(ctx context.Context, tenant, user string, value json.RawMessage) (Reached, error) {
	if !json.Valid(value) {
		return Reached{}, &VerbError{"message is not JSON"}
	}
	return e.onUser(ctx, tenant, call{Do: callSendUser, User: user, Value: value})
}

// DisconnectUser closes all connections of a user with the reason "removed by the server", and ends all sessions of the user,
// also those that no node holds and those that move between nodes at that moment. After an error some sessions may
// still be resumed.
func (e *Engine) DisconnectUser(ctx context.Context, tenant, user string) (Reached, error) {
	all, err := e.onUser(ctx, tenant, call{Do: callCloseUser, User: user})
	if err != nil || user == "" {
		return all, err
	}
	n, err := e.endParkedOf(ctx, func(o parkedOwner) bool { return o.Tenant == tenant && o.Profile.User == user })
	if all.Connections += n; err != nil {
		err = fmt.Errorf("not all sessions of the user were ended, try again: %w", err)
	}
	return all, err
}

// onUser sends a call about a user to all nodes at once and adds up their answers.
func (e *Engine) onUser(ctx context.Context, tenant string, c call) (all Reached, err error) {
	if _, err := e.tenant(tenant); err != nil {
		return all, err
	}
	nodes, err := e.Nodes(ctx)
	if err != nil {
		return all, err
	}
	ctx, cancel := context.WithTimeout(ctx, userTime)
	defer cancel()
	c.Tenant = tenant
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, node := range nodes {
		asked.Go(func() {
			value, err := e.ask(ctx, node, c)
			n := 0
			if err == nil {
				err = json.Unmarshal(value, &n)
			}
			mu.Lock()
			defer mu.Unlock()
			all.Connections += n
			if err != nil && !errors.Is(err, cluster.ErrNoNode) && !errors.Is(err, ErrNoTenant) {
				all.Lost = append(all.Lost, node)
			}
		})
	}
	asked.Wait()
	slices.Sort(all.Lost)
	return all, nil
}

// answerUser carries out a call about a user for the connections of this node. It returns the
// number of connections that the call reached.
func (e *Engine) answerUser(t *tenant, c call) (json.RawMessage, error) {
	if c.Do == callCloseUser && c.User != "" {
		t.closed.add(c.User)
	}
	n := 0
	for _, conn := range e.connectionsOfUser(t, c.User) {
		if c.Do == callCloseUser {
			conn.Close(CloseRemoved)
			n++
		} else if conn.sendValue(c.Value) == nil {
			n++
		}
	}
	return json.RawMessage(fmt.Sprint(n)), nil
}
