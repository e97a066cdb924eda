package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// text returns the text of a scalar with ${...} replaced. If the scalar's type does not
// fit the field, it adds a problem and ok is false. Messages use shown for the value:
// it has ${...} as written, because a substituted value may be a secret.
func (d *decoder) text(n *yaml.Node, v reflect.Value, at cursor, tag reflect.StructTag) (text, shown string, ok bool) {
	want, is := expectedType(n, v)
	text, filled, err := n.Value, false, error(nil)
	if n.Kind == yaml.ScalarNode {
		d.visible = visibilityOf(v, tag)
		text, filled, err = d.fill(n.Value)
		is = is || filled || d.loose
	}
	switch {
	case err != nil:
		d.problem(d.place(n.Line), at.path, err.Error())
	case n.Kind != yaml.ScalarNode || !is:
		d.problem(d.place(n.Line), at.path, "must be "+want+", not "+describe(n)+hint(n, want))
	case filled:
		if _, first := d.shown[at.path]; !first || d.loose {
			d.shown[at.path] = maskedText(n.Value)
		}
		return text, maskedText(n.Value), true
	default:
		if d.loose { // an override replaces the value; a second file with the setting does not
			delete(d.shown, at.path)
		}
		return text, quote(text), true
	}
	return "", "", false
}

// expectedType returns the name of a field's type, and whether the scalar as written has it.
func expectedType(n *yaml.Node, v reflect.Value) (what string, is bool) {
	tag := n.ShortTag()
	switch v.Interface().(type) {
	case time.Duration:
		return "a duration such as 250ms or 10s", isText(n) || tag == "!!int"
	case ByteSize:
		return "a size such as 65536, 64KiB or 1MiB", isText(n) || tag == "!!int"
	case Share:
		return "a share such as 0.5", tag == "!!int" || tag == "!!float"
	case int:
		return "a whole number", tag == "!!int" || tag == "!!float" // a large int has the tag !!float; number checks it
	case bool:
		return "true or false", tag == "!!bool"
	}
	return "text", isText(n)
}

// hint returns how to write the value that the user probably meant.
func hint(n *yaml.Node, want string) string {
	switch tag := n.ShortTag(); {
	case want == "text" && tag == "!!null":
		return `: write "" for none`
	case want == "text" && (tag == "!!int" || tag == "!!float" || tag == "!!bool"):
		return ": put it in quotes"
	case want != "text" && isText(n) && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return ": leave out the quotes"
	}
	return ""
}

// scalar parses text into v. The error continues a message that begins with the text.
func (d *decoder) scalar(v reflect.Value, text string, tag reflect.StructTag) error {
	switch v.Interface().(type) {
	case Secret:
		v.Set(reflect.ValueOf(NewSecret(text)))
	case Path:
		if text != "" {
			v.Set(reflect.ValueOf(relative(d.file, text)))
		}
		if tag.Get("check") == "jwks" && strings.Contains(text, "://") {
			v.Set(reflect.ValueOf(Path{Written: text, Absolute: text}))
		}
		return check(tag.Get("check"), text)
	case []string: // from a default tag
		v.Set(reflect.ValueOf([]string{text}))
	case bool:
		b, err := parseBool(text)
		v.SetBool(b)
		return err
	case string:
		v.SetString(text)
		return allowed(text, tag)
	default:
		n, err := number(text, v.Type())
		if err != nil {
			return err
		}
		v.SetInt(n)
		return inRange(n, v.Type(), tag)
	}
	return nil
}

// allowed applies the tags oneof and check.
func allowed(text string, tag reflect.StructTag) error {
	if names := strings.Fields(tag.Get("oneof")); len(names) > 0 && !slices.Contains(names, text) {
		return errors.New("is not supported" + suggest(text, names))
	}
	return check(tag.Get("check"), text)
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("is not a valid boolean: use true or false")
}

// number parses an int, a duration, a size or a share; the type t selects which.
func number(text string, t reflect.Type) (int64, error) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		n, err := time.ParseDuration(text)
		if err != nil {
			return 0, errors.New("is not a valid duration: use one such as 250ms or 10s")
		}
		return int64(n), nil
	case reflect.TypeFor[ByteSize]():
		n, err := parseSize(text)
		return int64(n), err
	case reflect.TypeFor[Share]():
		n, err := parseShare(text)
		return int64(n), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errors.New("is not a valid whole number: use one such as 1000")
	}
	return n, nil
}

// inRange applies the tags min and max.
func inRange(n int64, t reflect.Type, tag reflect.StructTag) error {
	low, err := number(tag.Get("min"), t)
	if err != nil {
		return err
	}
	high, err := number(tag.Get("max"), t)
	if err != nil {
		return err
	}
	zero := low > 0 && tag.Get("default") == "0" // 0 stands for a value that the node chooses
	if (n < low || n > high) && !(zero && n == 0) {
		show := func(n int64) any { return reflect.ValueOf(n).Convert(t).Interface() }
		or := ""
		if zero {
			or = "0 or "
		}
		return fmt.Errorf("is out of range: use %s%v to %v", or, show(low), show(high))
	}
	return nil
}
