// Package redis is a cluster backend for nodes on different machines: a Redis 7.0
// or newer, standalone, with sentinels, or a Redis Cluster.
//
// A [Node] is one engine's handle. The keys are divided into partitions: several in
// a Redis Cluster, otherwise one; keys.go lists the keys. In each partition a node has a
// publisher, which sends messages in batches, and a subscriber, the connection that receives the
// messages of subscribed rooms. A sub is a subscribed room: it passes messages to the engine in
// their order, and reads missed messages from the room's stream. A process is one run of a node,
// which renews its lease. When the lease of a process has ended, the first node that takes its
// members removes them. An inbox is a stream through which nodes call each other.
//
// Promises:
//   - Publish returns when the message has its place in the room's order. A message
//     that is sent again after a lost answer is recorded once.
//   - A subscribed node delivers every message of the room once, in order. It reads
//     messages that it missed because of a broken connection, a silent server or a
//     failover from the room's stream, which Config.Heal bounds. It counts
//     (cluster.Stats.Gaps) and logs lost messages, and reports a gap to the room's
//     members.
//   - After a failover the messages that the new master lacks are published again, in
//     their old order and before anything new, by the nodes that published them within
//     Heal.For (replay.go). A new epoch begins when another server becomes master or a
//     master restarts; every publish and every beat checks for it (generation.go).
//   - No process counts as dead while Redis does not answer, and for one lease after.
//   - One survivor runs leave for a dead node's members. If it dies before it has
//     finished, leave does not run again, and is counted (LeaveUnknown). A node that was
//     only cut off does not run leave for members that a survivor has removed; they
//     join again.
//   - Malformed values in Redis are counted (Malformed), logged and skipped.
//
// Epochs: a room's offsets continue from epoch to epoch, and its state has the last offset of each of
// the latest epochs (say.go). Up to that offset, a message of a former epoch has the same offset in
// the present one; later messages of the former epoch were lost with a master, and those that are
// published again get positions of the present epoch. A message has one position on all nodes: a
// node that reads it in a later epoch passes it with the epoch in which it got its place (heal.go).
// Read returns the ends of the former epochs (cluster.Page.Former). A member that reads missed
// messages is thus not sent a message that it has, whether its node is behind history or the
// epoch ends after the read. Positions cannot decide this for a member that has read a lost message:
// its connection is closed like that of a slow reader (fanout.Gate), and the client comes back
// with its last position.
//
// Lock order: the lock of a subscriber, of a partition, of a sub. No lock is held during a call
// of the engine, and only roster.settled is held during a call of Redis.
package redis
