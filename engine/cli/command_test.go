package cli

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"
	"time"
)

type shared struct {
	URL string `env:"MOOT_TEST_URL" default:"http://a" help:"URL." placeholder:"URL"`
}

type leaf struct {
	shared
	Room    string        `arg:"" help:"Room to use."`
	Text    string        `arg:"" default:"hello" help:"Text."`
	List    []string      `short:"l" help:"List."`
	KeyID   string        `name:"kid" help:"Name of the key."`
	MaxSize int           `default:"7" help:"Size, at least ${least}."`
	Rate    float64       `xor:"pace" required:"" help:"Rate."`
	Window  int           `xor:"pace" required:"" help:"Window."`
	TTL     time.Duration `default:"0s" help:"Time."`
	Order   string        `enum:"cpu,memory" default:"cpu" help:"Order: ${enum}."`
	Quiet   bool          `help:"Print nothing."`
}

func (l *leaf) Run(context.Context, terminal) error { return nil }

type tree struct {
	One leaf `cmd:"" help:"Do one thing."`
}

// parse runs a command line on a new tree.
func parse(args ...string) (c leaf, ran bool, out string, err error) {
	var t tree
	cmd := newCommand("top", "A tree.", &t, map[string]string{"least": "3"}, func(context.Context, runner) error {
		ran = true
		return nil
	})
	var b bytes.Buffer
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&b)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return t.One, ran, b.String(), err
}

func TestFieldsGetArgumentsFlagsAndDefaults(t *testing.T) {
	c, ran, _, err := parse("one", "hall", "--window", "2")
	want := leaf{shared: shared{"http://a"}, Room: "hall", Text: "hello", MaxSize: 7, Window: 2, Order: "cpu"}
	if !ran || err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("with defaults: %+v, %v, %v; want %+v", c, ran, err, want)
	}
	c, ran, _, err = parse("one", "hall", "bye", "-l", "a,b", "-l", "c", "--kid", "k", "--max-size=9", "--rate", "1.5", "--ttl", "2m", "--order", "memory", "--quiet", "--url", "http://b")
	want = leaf{shared{"http://b"}, "hall", "bye", []string{"a,b", "c"}, "k", 9, 1.5, 0, 2 * time.Minute, "memory", true}
	if !ran || err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("with flags: %+v, %v, %v; want %+v", c, ran, err, want)
	}
}

func TestTheEnvironmentSetsAFlagThatIsNotGiven(t *testing.T) {
	t.Setenv("MOOT_TEST_URL", "http://env")
	if c, _, _, err := parse("one", "hall", "--rate", "1"); err != nil || c.URL != "http://env" {
		t.Errorf("URL is %q, %v; want that of the environment", c.URL, err)
	}
	if c, _, _, err := parse("one", "hall", "--rate", "1", "--url", "http://flag"); err != nil || c.URL != "http://flag" {
		t.Errorf("URL is %q, %v; want that of the flag", c.URL, err)
	}
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                              "a command: one",
		"on":                            `unknown command "on" of top; did you mean one?`,
		"one --rate 1":                  "ROOM is missing: Room to use.",
		"one hall":                      "rate window",
		"one hall --rate 1 --window 1":  "rate window",
		"one a b c --rate 1":            "unexpected argument c",
		"one a --rate x":                "want a number",
		"one a --rate 1 --max-size 1.5": "want a whole number",
		"one a --rate 1 --ttl 5":        "want a duration such as 10s",
		"one a --rate 1 --order size":   "want one of cpu, memory",
		"one a --rate 1 --quiet=maybe":  "want true or false",
		"one a --rate 1 --sizes 4":      "unknown flag: --sizes",
		"one a --rate 1 --kid":          "needs an argument",
	} {
		if _, ran, _, err := parse(strings.Fields(args)...); ran || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: ran: %v, error: %v; want an error with %q", args, ran, err, want)
		}
	}
}

func TestHelpShowsArgumentsValuesAndDefaults(t *testing.T) {
	_, ran, out, err := parse("one", "--help")
	if ran || err != nil {
		t.Fatal(ran, err)
	}
	for _, want := range []string{"Do one thing.", "Usage: top one ROOM [TEXT] [flags]", "ROOM  Room to use.", "--max-size N", "at least 3. (default 7)",
		"--url URL", "[$MOOT_TEST_URL] (default http://a)", "-l, --list TEXT", "cpu, memory. (default cpu)", "--ttl DURATION   Time.\n", "--quiet "} {
		if !strings.Contains(out, want) {
			t.Errorf("the help has no %q:\n%s", want, out)
		}
	}
}

func TestShellsGetCompletions(t *testing.T) {
	if _, _, out, err := parse("__complete", "one", "hall", "--order", ""); err != nil || !strings.HasPrefix(out, "cpu\nmemory\n") {
		t.Errorf("values of --order: %v\n%s", err, out)
	}
	if _, _, out, err := parse("completion", "bash"); err != nil || !strings.Contains(out, "__start_top") {
		t.Errorf("completion bash: %v\n%.200s", err, out)
	}
}
