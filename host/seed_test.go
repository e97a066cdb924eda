package host

import (
	"encoding/binary"
	"slices"
	"testing"
)

// TestSearchForGeneratorsIsBounded checks that a generator is found, and that the search is given up in a memory in which
// every place looks like one. Such a search would take seconds.
func TestSearchForGeneratorsIsBounded(t *testing.T) {
	memory := make([]byte, 256<<10)
	const at = 200 << 10
	setGenerator(memory[at:at+generatorSize], [32]byte{1, 2, 3})
	if found := generators(memory); !slices.Equal(found, []uint32{at}) {
		t.Errorf("the generator is at %d, found at %v", at, found)
	}
	for p := 0; p < at; p += 8 {
		binary.LittleEndian.PutUint32(memory[p:], 12)
		binary.LittleEndian.PutUint32(memory[p+4:], 28)
	}
	if found := generators(memory); found != nil {
		t.Errorf("found %v after more than %d places that look like a generator", found, maxPlausible)
	}
}
