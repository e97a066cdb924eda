package main

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzMaskJSON checks that masking a JSON text changes only string values, and that masking it again changes nothing.
func FuzzMaskJSON(f *testing.F) {
	for _, seed := range []string{`"darn"`, `{"darn":["darn it",1,true]}`, `["\u0064arn\\","\"darn\""]`, `{"a" : "\ud83d\ude42 darn"}`} {
		f.Add(seed)
	}
	var l list
	for _, w := range []string{"darn", "true", "1", "darn it"} {
		if err := l.add(w); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil {
			return
		}
		masked := l.maskJSON(text)
		if err := json.Unmarshal([]byte(masked), &after); err != nil {
			t.Fatalf("%q became %q: %v", text, masked, err)
		}
		if again := l.maskJSON(masked); again != masked {
			t.Fatalf("%q became %q and then %q", text, masked, again)
		}
		if want := l.walk(before); !reflect.DeepEqual(after, want) {
			t.Fatalf("%q became %v, want %v", text, after, want)
		}
	})
}

// walk masks the strings of a decoded value.
func (l *list) walk(v any) any {
	switch v := v.(type) {
	case string:
		return l.mask(v)
	case []any:
		for i := range v {
			v[i] = l.walk(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = l.walk(v[name])
		}
	}
	return v
}
