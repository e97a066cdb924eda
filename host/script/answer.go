package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// version identifies the translator: this package, and the esbuild of go.mod.
const version = "1 esbuild v0.28.2"

// Exit codes of a translator.
const (
	exitFailed = 1
	exitTime   = 10 + iota
	exitMemory
	exitOutput
	exitOrphaned
)

// maxProblems is the maximum number of errors that are reported for a script, maxProblem the maximum length of one in
// bytes.
const (
	maxProblems = 10
	maxProblem  = 200
)

// request is the input of a translator.
type request struct {
	Kind   string // extension of the file's name
	Source string
}

// answer is the output of a translator.
type answer struct {
	Version   string
	Text      string    `json:",omitempty"`
	Positions []int32   `json:"Places,omitempty"` // line and column in the script, for each line of Text; 0: not known
	Problems  []problem `json:",omitempty"`       // instead of Text and Positions
}

// problem is an error in a script.
type problem struct {
	Line, Column int // from 1; 0: not known
	Text         string
}

// Answer is a translator: it reads a request, writes the translation and returns an exit code. It ends the process when
// a limit is exceeded, and when in ends.
func Answer(in io.Reader, out io.Writer) (code int) { return answerWithin(maxTime, in, out) }

// answerWithin is Answer with another limit of CPU time, at most maxTime.
func answerWithin(most time.Duration, in io.Reader, out io.Writer) (code int) {
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(maxMemory * 3 / 4)
	runtime.GOMAXPROCS(1)
	limitProcess(most)
	go watch(most)
	var q request
	if err := json.NewDecoder(io.LimitReader(in, maxRequest)).Decode(&q); err != nil {
		fmt.Fprintln(os.Stderr, "this command is for the server alone:", err)
		return exitFailed
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(exitOrphaned)
	}()
	a := translateJavaScript(q)
	text, err := json.Marshal(a)
	if err != nil || len(a.Text) > maxOutput || len(text) > maxAnswer {
		return exitOutput
	}
	if _, err := out.Write(text); err != nil {
		return exitFailed
	}
	return 0
}

// watch ends the process when it exceeds a limit. On Unix, the kernel does so too.
func watch(most time.Duration) {
	memory := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for range time.Tick(5 * time.Millisecond) {
		metrics.Read(memory)
		if memory[0].Value.Uint64()-memory[1].Value.Uint64() > maxMemory {
			os.Exit(exitMemory)
		}
		if processorTime() > most {
			os.Exit(exitTime)
		}
	}
}

// translateJavaScript removes types, and replaces syntax that QuickJS does not have.
func translateJavaScript(q request) answer {
	loader := api.LoaderJS
	if q.Kind == ".ts" {
		loader = api.LoaderTS
	}
	source := q.Source
	if strings.Contains(source, "sourceMappingURL=") { // the last one applies: positions must be those in this file
		source += "\n//# sourceMappingURL=none:"
	}
	result := api.Transform(source, api.TransformOptions{
		Loader: loader, Target: api.ES2020, Sourcefile: "script", Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Charset: api.CharsetUTF8, LogLevel: api.LogLevelSilent,
	})
	a := answer{Version: version}
	if len(result.Errors) > 0 {
		a.Problems = problemsIn(result.Errors)
		return a
	}
	if len(result.Code) > maxOutput {
		os.Exit(exitOutput) // before it is copied and encoded
	}
	a.Text = string(result.Code)
	var err error
	if a.Positions, err = positionsOf(result.Code, result.Map); err != nil {
		a.Problems = []problem{{Text: fmt.Sprintf("its source map cannot be read: %v", err)}}
	}
	return a
}

// positionsOf returns line and column in the script for each line of its translation.
func positionsOf(code, sourceMap []byte) (places []int32, err error) {
	var of struct{ Mappings string }
	if err := json.Unmarshal(sourceMap, &of); err != nil || of.Mappings == "" { // a script without statements
		return nil, err
	}
	positions, err := sourcemap.Parse("", sourceMap)
	if err != nil {
		return nil, err
	}
	for i, line := range bytes.Split(code, []byte("\n")) {
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		_, _, at, column, ok := positions.Source(i+1, indent)
		if !ok {
			at, column = 0, -1
		}
		places = append(places, int32(at), int32(column+1))
	}
	return places, nil
}

func problemsIn(list []api.Message) (all []problem) {
	for i, m := range list {
		if i == maxProblems {
			return append(all, problem{Text: fmt.Sprintf("%d more errors", len(list)-i)})
		}
		p := problem{Text: m.Text}
		if len(p.Text) > maxProblem {
			p.Text = p.Text[:maxProblem] + "..."
		}
		if m.Location != nil {
			p.Line, p.Column = m.Location.Line, m.Location.Column+1
		}
		all = append(all, p)
	}
	return all
}
