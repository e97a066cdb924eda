package events

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema of the events that sinks receive.
func Schema() []byte { return []byte(schema) }
