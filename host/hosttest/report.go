// Package hosttest tests modules. It calls every hook with all kinds of fields, and checks verdicts, errors and host
// calls. It is for tests of SDKs and modules, and for the command moot module conform.
//
// [Probe] calls any module at each of its hooks with events of all kinds. [Conform] tests the conformance guest of an
// SDK, which executes the scripts of CONFORMANCE.md, against the whole contract. [Golden] tests how such a guest reads
// and writes frames.
package hosttest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report is the result of a test.
type Report struct{ Rows []Row }

// Row is one check.
type Row struct {
	Group, Name string
	Result      Result
	Detail      string // the error, or how much was checked
}

// Result is the result of a check.
type Result uint8

// The results.
const (
	Passed Result = iota
	Failed        // Detail is the error
	Unused        // the module has no such hook
)

var resultNames = [...]string{"ok", "FAILED", "-"}

// String returns "ok", "FAILED" or "-".
func (r Result) String() string { return resultNames[r] }

func (r *Report) add(group, name string, result Result, detail string) {
	r.Rows = append(r.Rows, Row{group, name, result, detail})
}

// check adds a row; err is nil if the check passed.
func (r *Report) check(group, name string, err error) {
	if err != nil {
		r.add(group, name, Failed, err.Error())
		return
	}
	r.add(group, name, Passed, "")
}

// Err returns all failures; nil if there are none.
func (r *Report) Err() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Result == Failed {
			errs = append(errs, fmt.Errorf("%s: %s: %s", row.Group, row.Name, row.Detail))
		}
	}
	return errors.Join(errs...)
}

// maxDetail is the maximum length of a detail in the table, in bytes.
const maxDetail = 500

// Print writes the report as a table.
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
