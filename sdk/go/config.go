package moot

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Into returns a [Module].Config that decodes the entry's config into the value
// that pointer points to, with encoding/json. A field that the config does not
// name keeps its value, which serves as the default; an unknown name is an error.
func Into(pointer any) func(config []byte) error {
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
