package meter

import "strings"

var kindNames = [...]string{"func", "table", "memory", "global"}

func list(types []ValueType) string {
	var names []string
	for _, t := range types {
		names = append(names, typeName(t))
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func typeName(t ValueType) string {
	switch t {
	case 0x7f:
		return "i32"
	case 0x7e:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return "unknown"
}
