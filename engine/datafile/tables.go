package datafile

// migrations are the statements that make a file of version i one of version i+1. The version of a file is its
// user_version. Released migrations never change.
var migrations = []string{`
CREATE TABLE sanctions (
  number  INTEGER PRIMARY KEY,
  tenant  TEXT NOT NULL,
  subject TEXT NOT NULL, -- user:NAME or network:PREFIX
  id      TEXT NOT NULL,
  user    TEXT NOT NULL, -- '': the subject is a network
  network TEXT NOT NULL, -- '': the subject is a user
  kind    TEXT NOT NULL,
  rooms   TEXT NOT NULL,
  until   INTEGER NOT NULL, -- ms since 1970; 0: no end
  reason  TEXT NOT NULL,
  note    TEXT NOT NULL,
  module  TEXT NOT NULL, -- '': a person set it
  by      TEXT NOT NULL,
  at      INTEGER NOT NULL -- ms since 1970
) STRICT;
CREATE UNIQUE INDEX places ON sanctions (tenant, subject, id);
CREATE UNIQUE INDEX ids ON sanctions (tenant, id);
CREATE INDEX ends ON sanctions (tenant, until) WHERE until > 0;
CREATE TABLE counters (
  tenant    TEXT PRIMARY KEY,
  sanctions INTEGER NOT NULL,
  modules   INTEGER NOT NULL, -- sanctions of modules
  last      INTEGER NOT NULL  -- the latest at
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE reviews (
  number   INTEGER PRIMARY KEY,
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  kind     TEXT NOT NULL,
  decided  INTEGER NOT NULL, -- 0 or 1
  room     TEXT NOT NULL,
  subject  TEXT NOT NULL, -- user:NAME or connection:ID
  owner    TEXT NOT NULL, -- user:NAME or address:IP
  same     TEXT NOT NULL, -- identifies the item beside its id; '': nothing does
  due      INTEGER NOT NULL, -- ms since 1970; 0: never
  revision INTEGER NOT NULL,
  size     INTEGER NOT NULL, -- bytes
  data     TEXT NOT NULL -- the item, as JSON
) STRICT;
CREATE UNIQUE INDEX review_ids ON reviews (tenant, id);
CREATE INDEX review_order ON reviews (tenant, decided, id);
CREATE INDEX review_subjects ON reviews (tenant, subject, id);
CREATE INDEX review_dues ON reviews (tenant, due) WHERE due > 0;
CREATE UNIQUE INDEX review_same ON reviews (tenant, same) WHERE same != '';
CREATE INDEX review_owners ON reviews (tenant, kind, owner) WHERE decided = 0;
CREATE INDEX review_kinds ON reviews (tenant, kind, id) WHERE decided = 0;
CREATE TABLE review_counters (
  tenant  TEXT NOT NULL,
  kind    TEXT NOT NULL, -- of items that are not decided; 'decided': of the others
  items   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (tenant, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE review_versions (
  tenant  TEXT PRIMARY KEY,
  version INTEGER NOT NULL, -- number of changes
  dropped INTEGER NOT NULL  -- decided items that were removed before their time
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE events (
  number   INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant   TEXT NOT NULL,
  sink     TEXT NOT NULL,
  dead     INTEGER NOT NULL, -- 0; 1: a dead letter
  id       TEXT NOT NULL,
  kind     TEXT NOT NULL,
  room     TEXT NOT NULL, -- '': the event concerns none
  user     TEXT NOT NULL, -- '': the event concerns none
  at       INTEGER NOT NULL, -- ms since 1970
  data     TEXT NOT NULL, -- JSON
  sequence INTEGER NOT NULL,
  size     INTEGER NOT NULL, -- bytes
  since    INTEGER NOT NULL, -- when it began to wait, or became a dead letter; ms since 1970
  error    TEXT NOT NULL -- of a dead letter: the reason
) STRICT;
CREATE INDEX event_order ON events (tenant, sink, dead, number);
CREATE INDEX event_users ON events (tenant, user) WHERE user != '';
CREATE INDEX event_dead ON events (since) WHERE dead = 1;
CREATE TABLE event_sinks (
  tenant   TEXT NOT NULL,
  sink     TEXT NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0, -- since the last delivery that succeeded
  error    TEXT NOT NULL DEFAULT '',
  dropped  INTEGER NOT NULL DEFAULT 0, -- dead letters, since the last delivery that succeeded
  next     INTEGER NOT NULL DEFAULT 0, -- time of the next delivery, ms since 1970; 0: at once
  PRIMARY KEY (tenant, sink)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_counts (
  tenant TEXT NOT NULL,
  sink   TEXT NOT NULL,
  room   TEXT NOT NULL,
  n      INTEGER NOT NULL, -- events of the room
  last   INTEGER NOT NULL, -- ms since 1970
  PRIMARY KEY (tenant, sink, room)
) STRICT;
CREATE INDEX event_count_ages ON event_counts (last);
CREATE TABLE event_usage (
  tenant TEXT NOT NULL, -- '', with the sink '': all
  sink   TEXT NOT NULL,
  dead   INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  PRIMARY KEY (tenant, sink, dead)
) STRICT, WITHOUT ROWID;
`}
