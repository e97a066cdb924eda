package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// keys are the names of keys and channels in Redis. Those of a partition share a hash tag, so
// that one script may use all of them, also in a Redis Cluster. ROOM is <tenant>/<room>, with /
// and % of the tenant escaped. PROCESS (see restore.go) contains neither / nor :.
//
//	moot:{t}:gen            string: the generation (see generation.go)
//	moot:{t}:settling       string: exists while the generation is unsettled; how long it waits for reports, ms by Redis' clock
//	moot:{t}:staged         zset: PROCESS|NUMBER of a batch to be published again -> when it was published, us
//	moot:{t}:batches        hash: the same -> its messages
//	moot:{t}:amended        hash: ROOM/<message> -> the last amendment in these batches
//	moot:{t}:reported       hash: process -> the generation to which it has reported; #former: the same, if a reporter knew a generation before
//	moot:{t}:data           string: a random name of the data; it changes if Redis loses its data
//	moot:{t}:pub:PRODUCER   string: the number of the last batch, and its answer
//	moot:{t}:m:ROOM         string: the room's state: position, generation, former epochs and marks (see say.go)
//	moot:{t}:said, saidlong, said:TENANT, saidlong:TENANT   hash: span of time -> bytes of its messages
//	moot:{t}:h:ROOM         stream: id 0-<offset>, field d: an entry; if the room has history, t: its time of arrival, ms, and b: the bytes of the entries before it
//	moot:{t}:o:ROOM ID      string: the position of a message of PublishOnce, EPOCH:OFFSET; "": it is ephemeral
//	moot:{t}:am:ROOM, rt:ROOM  zset: see amend.go; they exist if messages of the room were edited or retracted
//	moot:{t}:c:ROOM         channel of envelopes
//	moot:{t}:probe:NODE     channel of probes
//	moot:{t}:rooms:TENANT   hash: name -> token of the call that created it
//	moot:{t}:rl:TENANT      zset: the names of those rooms, all scores 0, for pages of them
//	moot:{t}:alive          zset: process -> end of its lease, ms by Redis' clock; 0: it is dead
//	moot:{t}:beat           string: when a lease was renewed last, ms by Redis' clock
//	moot:{t}:grace          string: while it exists no process counts as dead
//	moot:{t}:graces         string: number of graces in a row
//	moot:{t}:rn:ROOM        hash: process -> number of members
//	moot:{t}:rm:PROCESS:ROOM hash: connection -> record
//	moot:{t}:ri:PROCESS:ROOM zset: its connections in order, all scores 0
//	moot:{t}:nr:PROCESS      set: rooms in which it has members
//	moot:{t}:pt:PROCESS      set: <connection>/<room> of members that are leaving
//	moot:{t}:taken:PROCESS   string: how often its members were handed to others
//	moot:{t}:lv:PROCESS      hash: members of dead processes that it removes: #seq, m<connection>/<room> -> record
//	moot:{t}:u:ROOM          hash: user, in hexadecimal digits -> number of its members, and + if it was announced; an empty field: number of users
//	moot:{t}:ud:ROOM         set: users who may have to be announced
//	moot:{t}:ua              zset: rooms with such users -> since when, ms by Redis' clock
//	moot:{t}:un:ROOM         hash: the announcement that is being published (see users.go)
//	moot:{t}:ul:ROOM         hash: after a failover, l<user> left and was announced, j<user> is present and was announced
//	moot:{t}:ug              string: while it exists no user is announced
//	moot:{t}:parked          hash: key -> session
//	moot:{t}:ends            zset: key of a parked session -> its end, ms by Redis' clock
//	moot:{t}:got:TOKEN       string: a session that was taken
//	moot:{t}:ending:PROCESS  set: keys of the sessions that it is ending
//	moot:secret             string: known to all nodes, to prove the authors of messages
//	moot:{n:NODE}:lease     string: the process that has the name
//	moot:{n:NODE}:in        stream: calls and answers for it
type keys struct {
	prefix string
	tag    string
}

func (k keys) base() string { return k.prefix + ":{" + k.tag + "}:" }

func (k keys) of(kind string, parts ...string) string {
	return k.base() + kind + suffix(parts)
}

func suffix(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return ":" + strings.Join(parts, ":")
}

func nodeKeys(prefix, node string) keys { return keys{prefix, "n:" + node} }

func escapeTenant(tenant string) string {
	if !strings.ContainsAny(tenant, "%/") {
		return tenant
	}
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(tenant)
}

func roomKey(room cluster.RoomID) string { return escapeTenant(room.Tenant) + "/" + room.Room }

// parseRoomKey parses the result of roomKey.
func parseRoomKey(key string) (cluster.RoomID, error) {
	tenant, room, ok := strings.Cut(key, "/")
	id := cluster.RoomID{Tenant: strings.NewReplacer("%25", "%", "%2F", "/").Replace(tenant), Room: room}
	if !ok || roomKey(id) != key {
		return cluster.RoomID{}, fmt.Errorf("%.80q is not the key of a room", key)
	}
	return id, nil
}

// partitionOf returns the index of the room's partition: the 32-bit FNV-1a hash of its key modulo
// n, the number of partitions.
func partitionOf(roomKey string, n int) int {
	h := uint32(2166136261)
	for i := range len(roomKey) {
		h = (h ^ uint32(roomKey[i])) * 16777619
	}
	return int(h % uint32(n))
}

// tags returns n hash tags. A Redis Cluster's slots have n equal ranges, and the slot of the k-th
// tag is in the k-th range, so that partitions spread over any number of masters. The result
// depends only on n.
func tags(n int) []string {
	out := make([]string, n)
	for left, j := n, int64(0); left > 0; j++ {
		tag := strconv.FormatInt(j, 36)
		if k := slot(tag) * n / slots; out[k] == "" {
			out[k] = tag
			left--
		}
	}
	return out
}

const slots = 16384

// slot returns the slot of a key in a Redis Cluster: CRC16 (XMODEM) modulo the number of slots.
func slot(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}
