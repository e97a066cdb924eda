package datafile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestMain also runs the processes of TestSQLiteIsCompiledOnce.
func TestMain(m *testing.M) {
	if os.Args[0] != openerName {
		os.Exit(m.Run())
	}
	if err := openCounted(os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(t *testing.T, dir string) *File {
	t.Helper()
	f, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestAFileOfAnotherVersion checks that an older file is converted once, that a newer file and a file of another program are refused
// without a change, and that a conversion that fails changes nothing.
func TestAFileOfAnotherVersion(t *testing.T) {
	dir, n := t.TempDir(), len(migrations)
	f := open(t, dir)
	if err := f.Run("INSERT INTO counters (tenant, sanctions, modules, last) VALUES ('t', 1, 2, 3)", nil); err != nil {
		t.Fatal(err)
	}
	next := append(migrations[:n:n], "ALTER TABLE counters ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'; UPDATE counters SET last = last + 1", "THIS IS NOT SQL")
	err := migrate(f.db, next)
	if version, _ := number(f.db, "PRAGMA user_version"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("not converted from version %d to %d", n+1, n+2)) || version != n+1 {
		t.Errorf("a conversion that fails: version %d, %v", version, err)
	}
	if err := migrate(f.db, next[:n+1]); err != nil {
		t.Error(err)
	}
	if last, err := number(f.db, "SELECT last FROM counters"); err != nil || last != 4 {
		t.Errorf("after the conversion the file has %d, %v", last, err)
	}
	f.Close()
	_, err = Open(t.Context(), dir, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the file has version %d, and this program knows versions up to %d: a newer version of the program wrote it", n+1, n)) {
		t.Errorf("a newer file: %v", err)
	}
	for _, c := range []struct{ sql, want string }{{"PRAGMA user_version = 0", "already exists"}, {"PRAGMA application_id = 7", "was not made by this program"}} {
		db, err := connect(t.Context(), filepath.Join(dir, Name))
		if err == nil {
			err = db.Exec(c.sql)
		}
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		if _, err := Open(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %s: %v", c.sql, err)
		}
	}
}

// TestAFileOfTheFirstVersion checks that a file of the first version, which has only sanctions, is converted and keeps them.
func TestAFileOfTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	db, err := sqlite3.OpenContext(t.Context(), "file:"+filepath.ToSlash(path))
	if err == nil {
		err = migrate(db, migrations[:1])
	}
	if err == nil {
		err = db.Exec(fmt.Sprintf("PRAGMA application_id = %d; INSERT INTO counters (tenant, sanctions, modules, last) VALUES ('t', 1, 2, 3)", application))
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	f := open(t, dir)
	for sql, want := range map[string]int{"PRAGMA user_version": len(migrations), "SELECT last FROM counters": 3, "SELECT count(*) FROM reviews": 0} {
		if got, err := number(f.db, sql); err != nil || got != want {
			t.Errorf("%s is %d, %v, want %d", sql, got, err, want)
		}
	}
}
