package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that logs, dumps and messages do not show. Each format prints it as
// "[set]" or "[empty]". The zero value is empty.
type Secret struct{ text string }

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text; "" if the secret is empty.
func (s Secret) Reveal() string { return s.text }

// String returns "[set]" or "[empty]".
func (s Secret) String() string {
	if s.text == "" {
		return "[empty]"
	}
	return "[set]"
}

// Format implements [fmt.Formatter]: every verb prints String. Without it, %d and %#v
// would print the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
