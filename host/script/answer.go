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
const version = "2 esbuild v0.28.2"

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
	Uses      []Use     `json:",omitempty"`       // of capabilities, in order of their positions
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
	mark := marksFor(source)
	result := api.Transform(source, api.TransformOptions{
		Loader: loader, Target: api.ES2020, Sourcefile: "script", Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Charset: api.CharsetUTF8, LogLevel: api.LogLevelSilent,
		Define:      map[string]string{"moot": mark.moot, "globalThis.moot": mark.moot},
		MangleProps: "^" + setProperty + "$", MangleCache: map[string]any{setProperty: mark.set},
	})
	a := answer{Version: version}
	if len(result.Errors) > 0 {
		a.Problems = problemsIn(result.Errors)
		return a
	}
	if len(result.Code) > maxOutput {
		os.Exit(exitOutput) // before it is copied and encoded
	}
	positions, err := positionsOf(result.Map)
	if err != nil {
		a.Problems = []problem{{Text: fmt.Sprintf("its source map cannot be read: %v", err)}}
		return a
	}
	a.Positions = positions.lines(result.Code)
	a.Uses = mark.usesIn(result.Code, positions.of)
	a.Text = string(mark.unmark(result.Code))
	return a
}

// positions are those of a translation in its script; nil: the script has no statements.
type positions struct{ *sourcemap.Consumer }

func positionsOf(sourceMap []byte) (p positions, err error) {
	var of struct{ Mappings string }
	if err := json.Unmarshal(sourceMap, &of); err != nil || of.Mappings == "" {
		return p, err
	}
	p.Consumer, err = sourcemap.Parse("", sourceMap)
	return p, err
}

// of returns the line and the column, from 1, in the script for a line, from 1, and a column, from 0, of the translation; 0, 0
// if they are not known.
func (p positions) of(line, column int) (int, int) {
	if p.Consumer == nil {
		return 0, 0
	}
	_, _, line, column, ok := p.Source(line, column)
	if !ok {
		return 0, 0
	}
	return line, column + 1
}

// lines returns line and column in the script for each line of its translation.
func (p positions) lines(code []byte) (list []int32) {
	if p.Consumer == nil {
		return nil
	}
	for i, text := range bytes.Split(code, []byte("\n")) {
		line, column := p.of(i+1, len(text)-len(bytes.TrimLeft(text, " ")))
		list = append(list, int32(line), int32(column))
	}
	return list
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
