package config

import (
	"errors"
	"math"
	"strconv"
)

// Share is a fraction in thousandths. In YAML it is a number from 0 to 1, such as 0.5.
type Share int64

// Fraction returns the share as a number from 0 to 1.
func (s Share) Fraction() float64 { return float64(s) / 1000 }

// String returns the share as in YAML.
func (s Share) String() string { return strconv.FormatFloat(s.Fraction(), 'g', -1, 64) }

// parseShare parses a share and rounds it to thousandths.
func parseShare(text string) (Share, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1000 {
		return 0, errors.New("is not a valid share: use a number such as 0.5")
	}
	return Share(math.Round(f * 1000)), nil
}
