package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// Limits of one list of rooms.
const (
	namesRead   = 1000   // names in one read of the cluster
	namesLooked = 20_000 // names that one request searches or sorts
)

func (s *Server) listRooms(ctx context.Context, in *roomQuery) (*roomList, error) {
	if in.Sort == "members" {
		return s.largestRooms(ctx, in)
	}
	names, cursor, err := s.roomNames(ctx, in, in.Cursor, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &roomList{}
	out.Body.Rooms, out.Body.Cursor = make([]Room, len(names)), cursor
	for i, name := range names {
		out.Body.Rooms[i].Name = name
	}
	if in.Counts {
		err = s.count(ctx, in.Tenant, out.Body.Rooms)
	}
	return out, s.faultOf(err)
}

// roomNames returns at most limit names after the name after, and the cursor of the next page. It returns fewer names and a
// cursor if it has searched namesLooked names.
func (s *Server) roomNames(ctx context.Context, in *roomQuery, after string, limit int) (found []string, cursor string, err error) {
	search, size := strings.ToLower(in.Search), limit
	if search != "" {
		size = namesRead
	}
	for looked := 0; looked < namesLooked; looked += size {
		names, more, err := s.cfg.Engine.Rooms(ctx, in.Tenant, cluster.RoomQuery{Prefix: in.Prefix, After: after, Limit: min(size, namesRead)})
		if err != nil {
			return nil, "", err
		}
		for i, name := range names {
			after = name
			if !strings.Contains(strings.ToLower(name), search) {
				continue
			}
			if found = append(found, name); len(found) == limit {
				if more || i < len(names)-1 {
					return found, after, nil
				}
				return found, "", nil
			}
		}
		if !more {
			return found, "", nil
		}
	}
	return found, after, nil
}

// largestRooms returns a page of the rooms, those with the most members first. The cursor is the number of rooms before
// the page.
func (s *Server) largestRooms(ctx context.Context, in *roomQuery) (*roomList, error) {
	from, err := strconv.Atoi(cmp.Or(in.Cursor, "0"))
	if err != nil || from < 0 {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not a cursor of sort=members: use the cursor of the page before")
	}
	names, rest, err := s.roomNames(ctx, in, "", namesLooked)
	if err != nil {
		return nil, s.faultOf(err)
	}
	rooms := make([]Room, len(names))
	for i, name := range names {
		rooms[i].Name = name
	}
	for part := range slices.Chunk(rooms, namesRead) {
		if err := s.count(ctx, in.Tenant, part); err != nil {
			return nil, s.faultOf(err)
		}
	}
	slices.SortStableFunc(rooms, func(a, b Room) int { return cmp.Compare(*b.MembersCount, *a.MembersCount) })
	out := &roomList{}
	end := min(from+in.Limit, len(rooms))
	out.Body.Rooms, out.Body.Partial = rooms[min(from, end):end], rest != ""
	if end < len(rooms) {
		out.Body.Cursor = strconv.Itoa(end)
	}
	return out, nil
}

// count sets the number of members of each room; 0 for a room that was deleted meanwhile.
func (s *Server) count(ctx context.Context, tenant string, rooms []Room) error {
	ids := make([]cluster.RoomID, len(rooms))
	for i := range rooms {
		ids[i] = cluster.RoomID{Tenant: tenant, Room: rooms[i].Name}
	}
	counts, err := s.cfg.Engine.MemberCounts(ctx, ids)
	for i := range counts {
		rooms[i].MembersCount = &counts[i]
	}
	return err
}
