package datafile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/embed" // SQLite, as WebAssembly
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The names of the file and of its lock in the directory.
const (
	Name     = "moderation.db"
	LockName = "moderation.lock"
)

const (
	application = 0x6d6f6f74 // application_id of the files: "moot"
	maxProblems = 3          // problems of a damaged file in an error
)

// Open opens the file of a directory, which it creates if needed. It fails if another process uses the directory, if
// the file is damaged, or if a newer version of the program wrote it; the error says what to do. It reads the whole file
// to find damage.
//
// The first call in a process compiles SQLite, which takes about a second of processor time, unless compilations has its
// machine code. That cache must not be closed; nil: no cache. Later calls ignore compilations.
func Open(ctx context.Context, dir string, compilations wazero.CompilationCache) (*File, error) {
	configure.Do(func() { sqlite3.RuntimeConfig = runtimeConfig(compilations) })
	s := &File{path: filepath.Join(dir, Name), turn: make(chan struct{}, 1)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.lock, err = lockFile(filepath.Join(dir, LockName)); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := s.open(ctx); err != nil {
		if s.db != nil {
			_ = s.db.Close() // the first error has the cause
		}
		_ = s.lock.Close()
		if code := sqlite3.ErrorCode(0); !errors.As(err, &code) {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		return nil, explain(s.path, err)
	}
	return s, nil
}

// configure sets sqlite3.RuntimeConfig once in a process, because the library compiles SQLite once.
var configure sync.Once

// maxPages limits the memory of one connection: 256 MiB, in pages of 64 KiB. It is the default of the library on systems
// of 64 bits.
const maxPages = 4096

// runtimeConfig returns the default configuration of the library, with a cache; nil: without one.
func runtimeConfig(compilations wazero.CompilationCache) wazero.RuntimeConfig {
	if compilations == nil {
		return nil
	}
	return wazero.NewRuntimeConfig().WithMemoryLimitPages(maxPages).WithCoreFeatures(api.CoreFeaturesV2).WithCompilationCache(compilations)
}

func (s *File) open(ctx context.Context) error {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = create(ctx, s.path)
	case err == nil && info.Size() == 0: // SQLite would begin a new file
		err = fmt.Errorf("the file is empty: %w", sqlite3.CORRUPT)
	}
	if err != nil {
		return err
	}
	if s.db, err = connect(ctx, s.path); err != nil {
		return err
	}
	if err := check(s.db); err != nil {
		return err
	}
	return migrate(s.db, migrations)
}

// create makes a file of the latest version. Until it is complete it has another name, so that a file of that name is
// never an empty one.
func create(ctx context.Context, path string) (err error) {
	draft := path + ".new"
	if err := cmp.Or(removeAll(draft, draft+"-wal", draft+"-shm"), os.WriteFile(draft, nil, 0o600)); err != nil {
		return err
	}
	db, err := connect(ctx, draft)
	if err != nil {
		return err
	}
	err = run(db, fmt.Sprintf("PRAGMA application_id = %d", application), nil)
	if err == nil {
		err = migrate(db, migrations)
	}
	if err = errors.Join(err, db.Close()); err != nil { // Close moves everything into the file
		return err
	}
	return os.Rename(draft, path)
}

func removeAll(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// connect opens a file. A transaction is on the disk when it has been committed.
func connect(ctx context.Context, path string) (*sqlite3.Conn, error) {
	db, err := sqlite3.OpenContext(ctx, "file:"+escape(path)+"?mode=rw")
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{"busy_timeout = 5000", "locking_mode = " + lockingMode, "journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON"} {
		if err := run(db, "PRAGMA "+pragma, nil); err != nil {
			_ = db.Close() // the first error has the cause
			return nil, err
		}
	}
	db.SetInterrupt(context.Background()) // ctx limits the opening alone
	return db, nil
}

// escape escapes a path for a URI of SQLite.
func escape(path string) string {
	var out []byte
	for _, c := range []byte(filepath.ToSlash(path)) {
		switch c {
		case '%', '?', '#':
			out = fmt.Appendf(out, "%%%02x", c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// check reads the whole file and returns an error if it is damaged.
func check(db *sqlite3.Conn) error {
	id, err := number(db, "PRAGMA application_id")
	if err == nil && id != application {
		return fmt.Errorf("the file was not made by this program: set data to another directory")
	}
	problems := ""
	if err == nil {
		err = run(db, fmt.Sprintf("PRAGMA quick_check(%d)", maxProblems), func(row *sqlite3.Stmt) error {
			if text := row.ColumnText(0); text != "ok" {
				problems += text + "; "
			}
			return nil
		})
	}
	if err == nil && problems != "" {
		err = fmt.Errorf("%s%w", problems, sqlite3.CORRUPT)
	}
	return err
}

// migrate makes the file one of the latest version, one version in a transaction.
func migrate(db *sqlite3.Conn, migrations []string) error {
	version, err := number(db, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("the file has version %d, and this program knows versions up to %d: a newer version of the program wrote it; run that version, or restore a backup from before the upgrade", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if err := migrateOne(db, fmt.Sprintf("%s; PRAGMA user_version = %d", migrations[version], version+1)); err != nil {
			return fmt.Errorf("the file was not converted from version %d to %d, and is as before: %w", version, version+1, err)
		}
	}
	return nil
}

func migrateOne(db *sqlite3.Conn, sql string) (err error) {
	tx, err := db.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	return db.Exec(sql)
}

func number(db *sqlite3.Conn, sql string) (n int, err error) {
	err = run(db, sql, func(row *sqlite3.Stmt) error { n = row.ColumnInt(0); return nil })
	return n, err
}

// ErrInUse is the error of a directory that another process has locked.
var ErrInUse = errors.New("another process uses this data directory: end it, or set data to a directory of its own for each server")

// ErrDisk is in the chain of an error of the disk, such as a full one, or of the permissions of the file. Nothing was changed,
// and the file accepts changes again when the cause is gone.
var ErrDisk = errors.New("the disk does not accept the change")

// diskError is an error of SQLite for which errors.Is reports ErrDisk.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

func (diskError) Is(target error) bool { return target == ErrDisk }

// explain adds the file, and what to do, to an error of SQLite. It returns other errors as they are.
func explain(path string, err error) error {
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		return err
	}
	advice, disk := "see the error of the system", true
	switch code {
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		disk = false
		advice = "the file is damaged, and nothing was changed: restore it from a backup, or move it away to begin without its data; `sqlite3 FILE .recover` may read the rest"
	case sqlite3.FULL:
		advice = "the disk is full, and nothing was changed: free space"
	case sqlite3.READONLY, sqlite3.CANTOPEN, sqlite3.PERM:
		advice = "the directory and its files must be writable for the user of the server"
	case sqlite3.BUSY, sqlite3.LOCKED:
		advice = "another program writes to the file: end it"
	case sqlite3.IOERR:
		advice = "the disk does not read or write the file"
	default:
		disk = false
	}
	err = fmt.Errorf("%s: %w: %s", path, err, advice)
	if disk {
		return diskError{err}
	}
	return err
}
