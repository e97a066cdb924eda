package module

import (
	"slices"
	"testing"

	"github.com/mootchat/moot/host/trial"
)

func TestDifferences(t *testing.T) {
	hallo := "hallo"
	answer := trial.Answer{Verdict: "perReceiver", Receivers: []trial.Answer{{Verdict: "rewrite", Message: &hallo}, {Verdict: "drop"}}}
	for _, test := range []struct {
		expect map[string]any
		want   []string
	}{
		{map[string]any{"verdict": "perReceiver"}, nil},
		{map[string]any{"receivers": []any{map[string]any{"message": "hallo"}, map[string]any{}}}, nil},
		{map[string]any{"receivers": []any{map[string]any{"verdict": "rewrite"}}}, []string{
			"- receivers has: 1", "+ receivers has: 2", `+ receivers[0].message: "hallo"`, `+ receivers[1].verdict: "drop"`, `+ verdict: "perReceiver"`}},
		{map[string]any{"verdict": "allow"}, []string{`- verdict: "allow"`, `+ verdict: "perReceiver"`,
			`+ receivers[0].message: "hallo"`, `+ receivers[0].verdict: "rewrite"`, `+ receivers[1].verdict: "drop"`, "+ receivers has: 2"}},
	} {
		got, err := differences(test.expect, &answer)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v: %v\ngot  %q\nwant %q", test.expect, err, got, test.want)
		}
	}
}
