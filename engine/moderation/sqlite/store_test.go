package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/moderationtest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	file, err := datafile.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(file)
}

// exec runs a statement on the file.
func (s *Store) exec(t testing.TB, sql string) (n int) {
	t.Helper()
	if err := s.file.Enter(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer s.file.Leave()
	if err := s.file.Run(sql, func(row *sqlite3.Stmt) error { n = row.ColumnInt(0); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStore(t *testing.T) {
	moderationtest.Run(t, func(t *testing.T) (a, b moderation.Store) {
		s := open(t, t.TempDir())
		s.Limits = moderationtest.Limits
		return s, s
	})
}

func mute(t testing.TB, user string) moderation.Sanction {
	t.Helper()
	s := moderation.Sanction{Tenant: "t", User: user, Kind: moderation.Mute, Rooms: moderation.AllRooms, Reason: "loud", Note: "twice", By: "ann"}
	if err := s.Identify(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) must(t testing.TB, one moderation.Sanction) moderation.Sanction {
	t.Helper()
	stored, err := s.Set(context.Background(), one)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func (s *Store) users(t testing.TB) (users string) {
	t.Helper()
	page, _, err := s.List(t.Context(), "t", moderation.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range page {
		users += one.User + " "
	}
	return strings.TrimSpace(users)
}

// TestSanctionsOutliveTheStore checks that the next store of a directory has all changes, and goes on with their times and
// limits.
func TestSanctionsOutliveTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "odd ?#%name")
	s := open(t, dir)
	kept, removed := s.must(t, mute(t, "kept")), s.must(t, mute(t, "removed"))
	if _, err := s.Remove(t.Context(), "t", removed.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Set(t.Context(), kept); !errors.Is(err, datafile.ErrClosed) {
		t.Errorf("a closed store answers %v", err)
	}
	s = open(t, dir)
	page, _, err := s.List(t.Context(), "t", moderation.Query{Limit: 10})
	if err != nil || len(page) != 1 || page[0] != kept {
		t.Errorf("the next store has %+v, %v, want %+v", page, err, kept)
	}
	s.Limits.All = 1
	if _, err := s.Set(t.Context(), mute(t, "more")); !errors.Is(err, moderation.ErrFull) {
		t.Errorf("a full tenant answers %v", err)
	}
	if next := s.must(t, kept); next.At <= kept.At {
		t.Errorf("the time of the next change is %d, after %d", next.At, kept.At)
	}
	for _, name := range []string{datafile.Name, datafile.LockName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, %v: others may read it", name, info.Mode(), err)
		}
	}
}

// TestADirectoryHasOneProcess checks that a directory that is in use is refused, and is free after Close.
func TestADirectoryHasOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := datafile.Open(t.Context(), dir, nil); !errors.Is(err, datafile.ErrInUse) || !strings.HasPrefix(err.Error(), dir+": another process uses this data directory") {
		t.Errorf("the second one receives %v", err)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// TestABackupDoesNotWait checks that another program copies the file while the store is in use, with all changes.
func TestABackupDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.must(t, mute(t, "ann"))
	other, err := sqlite3.Open("file:" + filepath.ToSlash(filepath.Join(dir, datafile.Name)) + "?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	backup := t.TempDir()
	if err := other.Exec("VACUUM INTO '" + filepath.Join(backup, datafile.Name) + "'"); err != nil {
		t.Fatal(err)
	}
	s.must(t, mute(t, "bob"))
	if got := open(t, backup).users(t); got != "ann" {
		t.Errorf("the backup has %q, want ann", got)
	}
}

// TestADamagedFileIsRefused checks files that are damaged in different places: Open fails with what to do, and leaves them
// as they are. Damage that it does not notice has changed no sanction.
func TestADamagedFileIsRefused(t *testing.T) {
	whole := t.TempDir()
	s := open(t, whole)
	for i := range 300 {
		s.must(t, mute(t, fmt.Sprintf("user %03d", i)))
	}
	want := s.users(t)
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(whole, datafile.Name))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"text":            func([]byte) []byte { return []byte(strings.Repeat("not a file of SQLite ", 1000)) },
		"header":          func(b []byte) []byte { copy(b, "xxxx"); return b },
		"half":            func(b []byte) []byte { return b[:len(b)/2/4096*4096] },
		"page of zeros":   func(b []byte) []byte { clear(b[len(b)/2/4096*4096:][:4096]); return b },
		"schema of zeros": func(b []byte) []byte { clear(b[100:4096]); return b },
		"end":             func(b []byte) []byte { clear(b[len(b)-4096:]); return b },
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, datafile.Name)
		broken := damage([]byte(string(text)))
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := datafile.Open(t.Context(), dir, nil)
		if err == nil {
			if got := New(opened).users(t); got != want {
				t.Errorf("%s: the file is accepted, with %d bytes of users", name, len(got))
			}
			opened.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), "restore it from a backup, or move it away") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) != string(broken) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}

// TestDamageThatIsFoundLaterIsAnError checks a file that is damaged while it is in use: no call returns a part of the
// sanctions.
func TestDamageThatIsFoundLaterIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.must(t, mute(t, "ann"))
	for _, sql := range []string{"UPDATE sanctions SET kind = 'unknown'", "UPDATE sanctions SET kind = 'mute', user = '', network = 'x'", "UPDATE sanctions SET network = '', user = 'bob'"} {
		s.exec(t, sql)
		_, _, list := s.List(t.Context(), "t", moderation.Query{Limit: 10})
		_, follow := s.Follow(t.Context(), "t", func(moderation.Change) { t.Error("it is followed") })
		for call, err := range map[string]error{"List": list, "Follow": follow} {
			if err == nil || !strings.Contains(err.Error(), "the file is damaged") {
				t.Errorf("%s after %s: %v", call, sql, err)
			}
		}
	}
}

// TestAFullDiskChangesNothing checks that a change on a full disk fails with what to do, that the store has what it had, and
// that it goes on when there is space.
func TestAFullDiskChangesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	s.must(t, mute(t, "before"))
	limit := func(n int) { s.exec(t, fmt.Sprintf("PRAGMA max_page_count = %d", n)) }
	limit(s.exec(t, "PRAGMA page_count"))
	var set []string
	var err error
	for i := range 10_000 {
		one := mute(t, fmt.Sprintf("user %05d", i))
		if _, err = s.Set(t.Context(), one); err != nil {
			break
		}
		set = append(set, one.User)
	}
	if !errors.Is(err, sqlite3.FULL) || !errors.Is(err, moderation.ErrUnavailable) || !strings.Contains(err.Error(), "the disk is full, and nothing was changed") {
		t.Errorf("a full disk answers %v", err)
	}
	want := "before " + strings.Join(set, " ")
	if got := s.users(t); got != want {
		t.Errorf("the store has %q, want %q", got, want)
	}
	limit(1 << 20)
	s.must(t, mute(t, "with space"))
	if got := s.users(t); got != strings.Join(append(append([]string{"before"}, set...), "with space"), " ") {
		t.Errorf("the store has %q", got)
	}
}

// TestAPlaceWithoutADirectory checks the error of a path that cannot be a directory.
func TestAPlaceWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := datafile.Open(t.Context(), file, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as the directory: %v", err)
	}
}

// BenchmarkSet sets a sanction, each on the disk.
func BenchmarkSet(b *testing.B) {
	s := open(b, b.TempDir())
	for i := 0; b.Loop(); i++ {
		s.must(b, mute(b, fmt.Sprint("user ", i%10_000)))
	}
}

// BenchmarkFollow reads the 10,000 sanctions of a tenant, as at its first connection.
func BenchmarkFollow(b *testing.B) {
	s := open(b, b.TempDir())
	s.exec(b, "PRAGMA synchronous = OFF")
	for i := range 10_000 {
		s.must(b, mute(b, fmt.Sprint("user ", i)))
	}
	for b.Loop() {
		stop, err := s.Follow(b.Context(), "t", func(moderation.Change) {})
		if err != nil {
			b.Fatal(err)
		}
		stop()
	}
}

// BenchmarkTenantsWithoutClients measures the memory of a node for 10,000 tenants with 100 sanctions each, of which nobody is
// connected: the bytes on Go's heap, beside those for an empty file.
func BenchmarkTenantsWithoutClients(b *testing.B) {
	full := b.TempDir()
	s := open(b, full)
	s.exec(b, "PRAGMA synchronous = OFF")
	s.exec(b, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
INSERT INTO sanctions (tenant, subject, id, user, network, kind, rooms, until, reason, note, module, by, at)
SELECT 'tenant-' || (i / 100), 'user:user-' || (i % 100), printf('%016d', i), 'user-' || (i % 100), '', 'mute', '*', 0, 'be kind', '', '', 'admin', 1 FROM n`)
	if err := s.file.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		with, without := heapOf(b, full), heapOf(b, b.TempDir())
		b.ReportMetric(float64(with-without), "heap-bytes")
	}
}

// heapOf returns the growth of the heap by an open store.
func heapOf(b *testing.B, dir string) int64 {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := datafile.Open(b.Context(), dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}
