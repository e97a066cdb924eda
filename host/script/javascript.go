package script

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// translateJavaScript strips types, and what is newer than QuickJS knows. place is
// that of the statement that a line begins with: QuickJS knows no columns.
func translateJavaScript(file string, source []byte) ([]byte, func(int) (string, bool), error) {
	loader := api.LoaderJS
	if strings.HasSuffix(file, ".ts") {
		loader = api.LoaderTS
	}
	result := api.Transform(string(source), api.TransformOptions{
		Loader: loader, Target: api.ES2020, Sourcefile: file, Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Charset: api.CharsetUTF8, LogLimit: 10, LogLevel: api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		return nil, nil, problems(file, result.Errors)
	}
	positions, err := sourcemap.Parse("", result.Map)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: lines cannot be told: %w", file, err)
	}
	lines := bytes.Split(result.Code, []byte("\n"))
	return result.Code, func(line int) (string, bool) {
		if line < 1 || line > len(lines) {
			return "", false
		}
		indent := len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " "))
		_, _, at, column, ok := positions.Source(line, indent)
		return fmt.Sprintf("%d:%d", at, column+1), ok
	}, nil
}

// problems is an error of a line for each.
func problems(file string, list []api.Message) error {
	lines := make([]string, len(list))
	for i, m := range list {
		lines[i] = fmt.Sprintf("%s: %s", file, m.Text)
		if m.Location != nil {
			lines[i] = fmt.Sprintf("%s:%d:%d: %s", file, m.Location.Line, m.Location.Column+1, m.Text)
		}
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}
