package vectors_test

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// constants returns the constants of package abi with their values.
func constants(t *testing.T) []*types.Const {
	t.Helper()
	set := token.NewFileSet()
	sources, err := filepath.Glob("../../host/abi/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	pkg, err := config.Check("abi", set, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []*types.Const
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && c.Exported() {
			list = append(list, c)
		}
	}
	if len(list) < 100 {
		t.Fatalf("package abi has but %d constants", len(list))
	}
	return list
}

// TestPageHasTheNamesAndNumbersOfTheContract compares ABI.md with package abi: the page must contain every
// name of the contract, and every number in one line with the name of its constant.
func TestPageHasTheNamesAndNumbersOfTheContract(t *testing.T) {
	b, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, c := range constants(t) {
		value := c.Val().ExactString()
		if c.Val().Kind() == constant.String {
			value = constant.StringVal(c.Val())
			if !regexp.MustCompile("`" + regexp.QuoteMeta(value) + "[`(: ]").MatchString(page) {
				t.Errorf("%s: the page does not name `%s`", c.Name(), value)
			}
			continue
		}
		line := regexp.MustCompile(`(?m)^(.*[^\d-])?` + regexp.QuoteMeta(value) + "(\\D.*)?`" + c.Name() + "`|`" + c.Name() + "`.*[^\\d-]" + regexp.QuoteMeta(value) + `\D`)
		if !line.MatchString(page) {
			t.Errorf("the page has no line with `%s` and %s", c.Name(), value)
		}
	}
}
