package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that no log, dump or message shows: every way of printing it says
// only "[set]" or "[empty]". The zero value is empty.
type Secret struct{ text string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal is the text itself, "" when empty.
func (s Secret) Reveal() string { return s.text }

// String is "[set]" or "[empty]".
func (s Secret) String() string {
	if s.text == "" {
		return "[empty]"
	}
	return "[set]"
}

// Format answers every verb alike. Without it %d and %#v would walk into the struct.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText serves JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue serves slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
