package sqlite

const (
	sqlInsert = `INSERT INTO events (tenant, sink, dead, id, kind, room, user, at, data, sequence, size, since, error)
VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '')`
	sqlLetters = `SELECT number, id, kind, room, user, at, data, sequence, error FROM events
WHERE tenant = ?1 AND sink = ?2 AND dead = ?3 AND number > ?4 ORDER BY number LIMIT ?5`
	sqlFirst = `SELECT number FROM events WHERE tenant = ?1 AND sink = ?2 AND dead = ?3 ORDER BY number LIMIT 1`
	sqlTake  = `DELETE FROM events WHERE number = ?1 AND tenant = ?2 AND sink = ?3 AND dead = ?4 RETURNING size`
	sqlKill  = `UPDATE events SET dead = 1, error = ?4, since = ?5 WHERE number = ?1 AND tenant = ?2 AND sink = ?3 AND dead = 0 RETURNING size`
	sqlOld   = `SELECT number FROM events WHERE tenant = ?1 AND sink = ?2 AND dead = ?3 AND since <= ?4 ORDER BY number LIMIT 100`
	sqlErase = `DELETE FROM events WHERE tenant = ?1 AND user = ?2 RETURNING sink, dead, size`

	// the row of tenant '' and sink '' has the bytes of all
	sqlUse           = `INSERT INTO event_usage (tenant, sink, dead, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes`
	sqlUnused        = `DELETE FROM event_usage WHERE bytes <= 0`
	sqlUsed          = `SELECT coalesce(sum(bytes), 0) FROM event_usage WHERE tenant = ?1 AND dead = ?2`
	sqlFullestTenant = `SELECT tenant FROM event_usage WHERE dead = ?1 AND tenant != '' GROUP BY tenant ORDER BY sum(bytes) DESC LIMIT 1`
	sqlFullest       = `SELECT sink FROM event_usage WHERE dead = ?1 AND tenant = ?2 ORDER BY bytes DESC LIMIT 1`

	// a count that was not used since ?5 begins again
	sqlCount = `INSERT INTO event_counts (tenant, sink, room, n, last) VALUES (?1, ?2, ?3, 1, ?4)
ON CONFLICT DO UPDATE SET n = CASE WHEN last <= ?5 THEN 1 ELSE n + 1 END, last = excluded.last RETURNING n`
	sqlSweepCounts = `DELETE FROM event_counts WHERE rowid IN (SELECT rowid FROM event_counts WHERE last <= ?1 LIMIT 100)`

	sqlState   = `SELECT failures, dropped, next FROM event_sinks WHERE tenant = ?1 AND sink = ?2`
	sqlDropped = `INSERT INTO event_sinks (tenant, sink, dropped) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET dropped = dropped + excluded.dropped`
	sqlTold    = `UPDATE event_sinks SET dropped = max(0, dropped - ?3) WHERE tenant = ?1 AND sink = ?2`
	sqlFailed  = `INSERT INTO event_sinks (tenant, sink, failures, error, next) VALUES (?1, ?2, 1, ?3, ?4)
ON CONFLICT DO UPDATE SET failures = failures + 1, error = excluded.error, next = excluded.next`
	sqlWorked = `UPDATE event_sinks SET failures = 0, error = '', next = 0 WHERE tenant = ?1 AND sink = ?2`
	sqlAtOnce = `UPDATE event_sinks SET next = 0 WHERE tenant = ?1 AND sink = ?2`
	sqlForget = `DELETE FROM event_sinks WHERE tenant = ?1 AND sink = ?2 AND dropped = 0 AND NOT EXISTS (SELECT 1 FROM events WHERE tenant = ?1 AND sink = ?2)`

	// each sink with events has a row in event_sinks
	sqlSink     = `INSERT INTO event_sinks (tenant, sink) VALUES (?1, ?2) ON CONFLICT DO NOTHING`
	sqlDue      = `SELECT tenant, sink FROM event_sinks s WHERE next <= ?1 AND EXISTS (SELECT 1 FROM events e WHERE e.tenant = s.tenant AND e.sink = s.sink AND e.dead = 0)`
	sqlOldSinks = `SELECT DISTINCT tenant, sink FROM events WHERE dead = 1 AND since <= ?1 LIMIT 100`

	sqlOldest = `SELECT min((SELECT since FROM events e WHERE e.tenant = s.tenant AND e.sink = s.sink AND e.dead = 0 ORDER BY number LIMIT 1)) FROM event_sinks s`

	sqlStates = `SELECT n.sink, coalesce(sum(e.dead = 0), 0), coalesce(sum(iif(e.dead = 0, e.size, 0)), 0), coalesce(min(iif(e.dead = 0, e.since, NULL)), 0), coalesce(sum(e.dead), 0),
coalesce(s.failures, 0), coalesce(s.dropped, 0), coalesce(s.error, ''), coalesce(s.next, 0)
FROM (SELECT sink FROM events WHERE tenant = ?1 UNION SELECT sink FROM event_sinks WHERE tenant = ?1) n
LEFT JOIN events e ON e.tenant = ?1 AND e.sink = n.sink LEFT JOIN event_sinks s ON s.tenant = ?1 AND s.sink = n.sink
GROUP BY n.sink ORDER BY n.sink`
)
