package moot

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// Into returns a [Module].Config that decodes the entry's config into the value
// that pointer points to, with encoding/json. A field that the config does not
// name keeps its value, which serves as the default; an unknown name is an error.
func Into(pointer any) func(config []byte) error {
	rehearse(pointer)
	return func(config []byte) error {
		if len(config) == 0 {
			return nil
		}
		d := json.NewDecoder(bytes.NewReader(config))
		d.DisallowUnknownFields()
		err := d.Decode(pointer)
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return errors.New(wrong.Field + ": got " + wrong.Value + ", want " + wrong.Type.String())
		}
		if err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "json: "))
		}
		return nil
	}
}

// Rehearse passes a config to m and ignores errors. m must not be the module of Register, but a second one like it. Call
// Rehearse in init, before the image of the program is made, from which all instances start (see ABI.md). The image then
// has the caches that packages fill at their first use, and the memory that Go reserves for each size of objects. So
// instances start faster and have fewer pages of memory of their own. In a native program Rehearse does nothing.
func Rehearse(m Module, config string) { rehearseModule(m, config) }

// rehearse decodes JSON into new values, one of them of the type that pointer points to. Into is called before the image of
// the program is made, so the image has the caches of encoding/json for the type.
func rehearse(pointer any) {
	t := reflect.TypeOf(pointer)
	if t == nil || t.Kind() != reflect.Pointer {
		return // decoding the first config reports the error
	}
	var all any
	_ = json.Unmarshal([]byte(`{"a":["bcd",{"e":"fghi"},1.5,true,null]}`), &all)
	d := json.NewDecoder(strings.NewReader("{}"))
	d.DisallowUnknownFields()
	_ = d.Decode(reflect.New(t.Elem()).Interface())
}
