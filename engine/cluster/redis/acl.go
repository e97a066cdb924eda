package redis

import "strings"

// commands are the commands of a node and of the store of modules.
const commands = "hello ping info time eval evalsha select " +
	"get getrange set setrange del unlink exists incr incrby persist pexpire pttl " +
	"hget hset hsetnx hdel hincrby hmget hgetall hkeys hexists hlen hscan hstrlen " +
	"sadd srem scard smembers srandmember " +
	"zadd zrem zscore zcard zcount zrange zrangebyscore zrangebylex zlexcount zremrangebyrank zremrangebyscore " +
	"xadd xdel xlen xrange xread xtrim " +
	"publish subscribe unsubscribe spublish ssubscribe sunsubscribe"

// clusterCommands are additional commands for a Redis Cluster.
const clusterCommands = "cluster|slots command readonly"

// replicaCommands are additional commands if Config.WaitReplicas is not 0.
const replicaCommands = "wait"

// ACL returns the rules of a user with the least permissions that a node needs, in the form of
// the arguments of ACL SETUSER after the name and the password. prefix, mode and waitReplicas are
// the fields of Config.
func ACL(prefix string, mode Mode, waitReplicas int) []string {
	rules := []string{"~" + prefix + ":*", "&" + prefix + ":*", "-@all"}
	all := commands
	if mode == Cluster {
		all += " " + clusterCommands
	}
	if waitReplicas > 0 {
		all += " " + replicaCommands
	}
	for _, c := range strings.Fields(all) {
		rules = append(rules, "+"+c)
	}
	return rules
}
