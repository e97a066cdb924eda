package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes. In YAML it may have a unit: B, KiB, MiB or GiB.
type ByteSize int64

// String returns the size in the largest unit without a fraction, such as 64KiB or 1000B.
func (s ByteSize) String() string {
	for _, u := range units() {
		if s != 0 && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.name)
		}
	}
	return "0B"
}

// parseSize parses a size such as 65536, 64KiB or 1MiB. Fractions, signs, spaces and
// decimal units (KB) are errors.
func parseSize(text string) (ByteSize, error) {
	digits, unit := text, ByteSize(1)
	for _, u := range units() {
		if d, ok := strings.CutSuffix(text, u.name); ok {
			digits, unit = d, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || ByteSize(n) > math.MaxInt64/unit {
		return 0, errors.New("is not a valid size: use one such as 65536, 64KiB or 1MiB")
	}
	return ByteSize(n) * unit, nil
}

type unit struct {
	name  string
	bytes ByteSize
}

func units() [4]unit {
	return [...]unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}
