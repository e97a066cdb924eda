package meter

import "strings"

// The value types of WebAssembly 2.0, by their byte.
const (
	i32       ValueType = 0x7f
	i64       ValueType = 0x7e
	f32       ValueType = 0x7d
	f64       ValueType = 0x7c
	v128      ValueType = 0x7b
	funcref   ValueType = 0x70
	externref ValueType = 0x6f
)

var kindNames = [...]string{Func: "func", Table: "table", Mem: "memory", Global: "global"}

func isValueType(t ValueType) bool { return typeName(t) != "unknown" }

func typeName(t ValueType) string {
	switch t {
	case i32:
		return "i32"
	case i64:
		return "i64"
	case f32:
		return "f32"
	case f64:
		return "f64"
	case v128:
		return "v128"
	case funcref:
		return "funcref"
	case externref:
		return "externref"
	}
	return "unknown"
}

func typeList(types []ValueType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = typeName(t)
	}
	return "(" + strings.Join(names, ", ") + ")"
}
