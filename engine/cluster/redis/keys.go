package redis

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// Names in Redis. A partition's keys and channels share a hash tag, so that one
// script may touch them all in a Redis Cluster too. A room is called
// <tenant>/<room>, with / and % of the tenant escaped: what follows the first /
// is the room's name as it is. A process (see lease.go) has neither / nor : in it.
//
//	moot:{t}:gen            which server's life this partition is in
//	moot:{t}:settling       string: the generation is not open yet; until when it waits, ms by Redis' clock
//	moot:{t}:staged         zset: PROCESS|NUMBER of a batch to be published again -> when it was published, us
//	moot:{t}:batches        hash: the same -> what it says
//	moot:{t}:reported       hash: process -> the generation to which it has staged all it had; #former too if one of them knew another
//	moot:{t}:data           string: a name of the data, made with it: another says that Redis began empty
//	moot:{t}:pub:PRODUCER   string: the last batch, and its answer
//	moot:{t}:m:ROOM         hash: e epoch, o offset of the last message, s offset before the epoch's first, g generation,
//	                        k offset of the first that history has; without k it has none; q former epochs and their last
//	                        offsets; mk marks; w, packed: bytes said so far, the offset that may be trimmed, time, bytes and
//	                        offset of the last mark, how long the stream lives, and until when (see say.go)
//	moot:{t}:said, saidlong, said:TENANT, saidlong:TENANT   hash: span of time -> bytes said in it
//	moot:{t}:h:ROOM         stream: id 0-<offset>, field d: an entry, t: ms when it came, if history is to have it
//	moot:{t}:c:ROOM         channel of envelopes
//	moot:{t}:probe:NODE     channel: does what we publish come to us?
//	moot:{t}:rooms:TENANT   hash: name -> token of who created it
//	moot:{t}:rl:TENANT      zset: the names of those rooms, all scores 0, for pages of them
//	moot:{t}:alive          zset: process -> end of its lease, ms by Redis' clock; 0: it has been given up
//	moot:{t}:beat           string: when a lease was renewed last, ms by Redis' clock
//	moot:{t}:grace          string: nobody is taken for dead while it is there
//	moot:{t}:graces         string: how many graces there were in a row
//	moot:{t}:rn:ROOM        hash: process -> how many members
//	moot:{t}:rm:PROCESS:ROOM hash: connection -> record
//	moot:{t}:ri:PROCESS:ROOM zset: its connections in order, all scores 0
//	moot:{t}:nr:PROCESS      set: rooms in which it has members
//	moot:{t}:pt:PROCESS      set: <connection>/<room> of those for whom leave is being run
//	moot:{t}:taken:PROCESS   string: how often members of a process that was taken for dead were handed to others
//	moot:{t}:lv:PROCESS      hash: those whom it is letting go: #seq, m<connection>/<room> -> record
//	moot:{t}:parked          hash: key -> session
//	moot:{t}:ends            zset: key of a parked session -> its end, ms by Redis' clock
//	moot:{t}:got:TOKEN       string: a session that was just taken
//	moot:{t}:ending:PROCESS  set: keys of the sessions that it is ending
//	moot:{n:NODE}:lease     string: which process is the node
//	moot:{n:NODE}:in        stream: calls and answers to it
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
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(tenant)
}

func roomKey(room cluster.RoomID) string { return escapeTenant(room.Tenant) + "/" + room.Room }

// parseRoomKey is the inverse of roomKey.
func parseRoomKey(key string) (cluster.RoomID, error) {
	tenant, room, ok := strings.Cut(key, "/")
	id := cluster.RoomID{Tenant: strings.NewReplacer("%25", "%", "%2F", "/").Replace(tenant), Room: room}
	if !ok || roomKey(id) != key {
		return cluster.RoomID{}, fmt.Errorf("%.80q is not the key of a room", key)
	}
	return id, nil
}

// partitionOf gives the room's place among n partitions.
func partitionOf(roomKey string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(roomKey))
	return int(h.Sum32() % uint32(n))
}

// tags gives n hash tags, the k-th of which lies in the k-th of n equal ranges of
// a Redis Cluster's slots, so that partitions spread over any number of masters.
// It depends on n alone.
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

// slot is Redis Cluster's: CRC16 (XMODEM) modulo the number of slots.
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
