// Package datafile opens the SQLite file of a server without Redis (data in the configuration). The stores of sanctions, of
// the review queue and of events share the file. A change survives a crash of the process or of the machine as soon as
// File.Change has returned.
//
// The file is DIR/moderation.db, with its write-ahead log beside it. One process at a time uses the directory. Other
// programs may read the file at the same time, for example to back it up.
package datafile

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// File is an open file. One goroutine at a time uses it: its turn begins with Enter or Lock, and ends with Leave.
type File struct {
	path string
	lock *os.File // holds the lock of the directory

	turn chan struct{} // has one element during a turn; guards db
	db   *sqlite3.Conn // nil: the file is closed

	ready map[string]*sqlite3.Stmt // idle prepared statements, by their text
}

// maxReady is the number of prepared statements that are kept. Most statements take less time than their preparation.
const maxReady = 128

// ErrClosed is the error of Enter after Close.
var ErrClosed = errors.New("the store is closed")

// Close closes the file after the turn that is running. A second Close does nothing.
func (s *File) Close() error {
	s.turn <- struct{}{}
	defer s.Leave()
	if s.db == nil {
		return nil
	}
	var err error
	for _, stmt := range s.ready {
		err = errors.Join(err, stmt.Close())
	}
	err = errors.Join(err, s.db.Close())
	s.db, s.ready = nil, nil
	return errors.Join(err, s.lock.Close())
}

// Enter begins a turn, which Leave ends. Errors: that of ctx, ErrClosed.
func (s *File) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.db == nil {
		s.Leave()
		return ErrClosed
	}
	return nil
}

// Lock begins a turn even if the file is closed. The caller must not use the file in this turn; the turn guards data of the
// caller.
func (s *File) Lock() { s.turn <- struct{}{} }

// Leave ends a turn.
func (s *File) Leave() { <-s.turn }

// Change runs f in a transaction, which is durable when Change returns without an error. After an error, such as one
// of f, nothing has changed. The caller has the turn.
func (s *File) Change(f func() error) (err error) {
	tx, err := s.db.BeginImmediate()
	if err != nil {
		return s.Explain(err)
	}
	defer func() { err = s.Explain(err) }()
	defer tx.End(&err)
	return f()
}

// Explain adds the file, and what to do, to an error of SQLite. It returns other errors as they are.
func (s *File) Explain(err error) error { return explain(s.path, err) }

// Run runs a statement and passes its rows to f, which may be nil. args are the values of the parameters: strings, ints or
// int64s. The caller has the turn. f may call Run, also with the same text.
func (s *File) Run(sql string, f func(row *sqlite3.Stmt) error, args ...any) (err error) {
	stmt := s.ready[sql]
	if delete(s.ready, sql); stmt == nil {
		if stmt, _, err = s.db.Prepare(sql); err != nil {
			return err
		}
	}
	if err := step(stmt, f, args); err != nil {
		return errors.Join(err, stmt.Close())
	}
	if err := errors.Join(stmt.Reset(), stmt.ClearBindings()); err != nil || len(s.ready) >= maxReady || s.ready[sql] != nil {
		return errors.Join(err, stmt.Close())
	}
	if s.ready == nil {
		s.ready = map[string]*sqlite3.Stmt{}
	}
	s.ready[sql] = stmt
	return nil
}

// run runs a statement once.
func run(db *sqlite3.Conn, sql string, f func(row *sqlite3.Stmt) error, args ...any) (err error) {
	stmt, _, err := db.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	return step(stmt, f, args)
}

// step runs a prepared statement.
func step(stmt *sqlite3.Stmt, f func(row *sqlite3.Stmt) error, args []any) (err error) {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			err = stmt.BindText(i+1, v)
		case int:
			err = stmt.BindInt(i+1, v)
		case int64:
			err = stmt.BindInt64(i+1, v)
		default:
			err = fmt.Errorf("argument %d of a statement has the type %T", i+1, arg)
		}
		if err != nil {
			return err
		}
	}
	for stmt.Step() {
		if f != nil {
			if err := f(stmt); err != nil {
				return err
			}
		}
	}
	return stmt.Err()
}
