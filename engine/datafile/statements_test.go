package datafile

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestStatementsAreKept checks that a statement can run within the rows of the same one, and again after it, its callback or its arguments failed; and that
// the number of kept statements is bounded.
func TestStatementsAreKept(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	const values = "VALUES (?1), (?2)"
	read := func(to *[]int64, f func(n int64) error, args ...any) error {
		return s.Run(values, func(row *sqlite3.Stmt) error {
			*to = append(*to, row.ColumnInt64(0))
			return f(row.ColumnInt64(0))
		}, args...)
	}
	var outer, inner, after []int64
	nothing := func(int64) error { return nil }
	if err := read(&outer, func(n int64) error { return read(&inner, nothing, 10*n, 10*n+1) }, 1, 2); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("enough")
	if err := read(&after, func(int64) error { return failed }, 7, 8); !errors.Is(err, failed) {
		t.Errorf("the error is %v", err)
	}
	if err := read(&after, nothing, 1.5); err == nil {
		t.Error("an argument of another type is accepted")
	}
	if err := read(&after, nothing, 3); err != nil { // the second parameter has no value of an earlier call
		t.Fatal(err)
	}
	if !slices.Equal(outer, []int64{1, 2}) || !slices.Equal(inner, []int64{10, 11, 20, 21}) || !slices.Equal(after, []int64{7, 3, 0}) {
		t.Errorf("the values are %v, %v and %v", outer, inner, after)
	}
	for i := range 2 * maxReady {
		if err := s.Run(fmt.Sprintf("SELECT %d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.ready) != maxReady {
		t.Errorf("%d statements are kept", len(s.ready))
	}
	s.Leave()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
