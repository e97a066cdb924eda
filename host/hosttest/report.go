// Package hosttest puts any module through every hook, field, verdict, error and host
// call, and tells what it made of them. It is for tests of SDKs and of modules, and for
// moot module conform.
//
// Any module is asked at each hook that it has about events of every kind, see [Probe].
// A guest of an SDK that follows the script of CONFORMANCE.md is put through the whole
// contract, see [Conform], and through the golden frames, see [Golden].
package hosttest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report is what came of it, in rows.
type Report struct{ Rows []Row }

// Row is one thing that was tried.
type Row struct {
	Group, Name string
	Result      Result
	Detail      string // what was wrong, or how much was tried
}

// Result is how it went.
type Result uint8

// The results.
const (
	Good   Result = iota
	Failed        // Detail says why
	Unused        // the module does not have it
)

var resultNames = [...]string{"ok", "FAILED", "-"}

// String is "ok", "FAILED" or "-".
func (r Result) String() string { return resultNames[r] }

func (r *Report) add(group, name string, result Result, detail string) {
	r.Rows = append(r.Rows, Row{group, name, result, detail})
}

// check adds a row: it failed if err is not nil.
func (r *Report) check(group, name string, err error) {
	if err != nil {
		r.add(group, name, Failed, err.Error())
		return
	}
	r.add(group, name, Good, "")
}

// Err is all that failed; nil: nothing did.
func (r *Report) Err() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Result == Failed {
			errs = append(errs, fmt.Errorf("%s: %s: %s", row.Group, row.Name, row.Detail))
		}
	}
	return errors.Join(errs...)
}

// maxDetail bounds what the table says of one row.
const maxDetail = 500

// Print writes the table.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	group := ""
	for _, row := range r.Rows {
		name := row.Group
		if name == group {
			name = ""
		}
		group = row.Group
		detail := strings.ReplaceAll(row.Detail, "\n", " | ")
		if len(detail) > maxDetail {
			detail = strings.ToValidUTF8(detail[:maxDetail], "") + " ..."
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, row.Name, row.Result, detail)
	}
	return t.Flush()
}
