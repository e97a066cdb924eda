// Package redis is the common ground of nodes on different machines: a Redis 7.0
// or newer, alone, watched by sentinels, or a Redis Cluster.
//
// A [Node] is one engine's handle. The keys are divided into partitions, one
// unless Redis is a Cluster; keys.go lists them. In each partition a node has a
// lane, which publishes batch after batch, and a subscriber, the connection through
// which subscribed rooms are heard. A sub is such a room: its own lane hands
// messages to the engine in their order, and reads from the room's history what
// did not come. A process is a node's life on record, whose lease it renews; the
// members of one whose lease ended are let go by whichever node takes them first.
// An inbox is a stream through which nodes call each other.
//
// What holds:
//   - Publish returns when the message has its place in the room's history. Sent
//     again after a lost answer, it is there once.
//   - A subscribed node hands over every message of the room once, in order. It reads
//     messages that it missed by a broken connection, a silent server or a failover
//     from the room's stream, which Config.Heal bounds. It counts
//     (cluster.Stats.Gaps) and logs messages that the room has forgotten.
//   - After a failover the messages that the new master lacks are published again, in
//     their old order and before anything new, by the nodes that published them within
//     Heal.For (replay.go). A new epoch begins with each life of a master, which every
//     publish and every beat looks at (generation.go).
//   - Nobody is taken for dead while Redis was away, and for a lease after it.
//   - leave is run for a dead node's members by one survivor. If that dies in the
//     midst, it is not run again, and is counted (LeaveUnknown). A node that was
//     only cut off does not run leave for those whom a survivor has let go; they
//     join again.
//   - Nothing that is read from Redis is trusted: what is malformed is counted
//     (Malformed), logged and skipped.
//
// Locks: a partition's before a sub's, a subscriber's before both. None is held over
// a call of the engine, and only roster.settled over a call of Redis.
package redis
