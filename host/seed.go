package host

import (
	"bytes"
	crypto "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"github.com/mootchat/moot/host/abi"
)

// A guest that draws random bytes when it starts has them in its image, and every instance would have the same. Go's
// runtime draws bytes once, for the generators behind math/rand, for the order of select and for the seeds of maps.
// Their states can be found in the memory, because each has the values that follow from its seed. They get new seeds
// when an instance starts from the image.

// Layout of the state of a generator of Go: internal/chacha8rand.State, which is also the start of rand.ChaCha8.
const (
	generatorSeed  = 32 * 8             // after the values, u64 each
	generatorNext  = generatorSeed + 32 // u32: the index of the next value
	generatorCount = generatorNext + 4  // u32: the number of values: 32, or 28 in the block before a new seed
	generatorBlock = generatorCount + 4 // u32: the number of the block: 0, 4, 8 or 12
	generatorSize  = generatorBlock + 4
)

// maxPlausible is the maximum number of places in a memory that are compared with a generator, which takes 1 us or more.
// A program of Go has a few such places.
const maxPlausible = 4096

// generators returns the addresses of the generators in a memory; none if too many places look like one.
func generators(memory []byte) (found []uint32) {
	plausible := 0
	for at := 0; at+generatorSize <= len(memory); at += 8 {
		b := memory[at : at+generatorSize]
		if !looksLikeGenerator(b) {
			continue
		}
		if plausible++; plausible > maxPlausible {
			return nil
		}
		if isGenerator(b) {
			found = append(found, uint32(at))
		}
	}
	return found
}

// looksLikeGenerator reports whether the numbers in a state are possible.
func looksLikeGenerator(b []byte) bool {
	u32 := binary.LittleEndian.Uint32
	next, count, block := u32(b[generatorNext:]), u32(b[generatorCount:]), u32(b[generatorBlock:])
	return (count == 32 || count == 28) && next <= count && block <= 12 && block%4 == 0 && !isZero(b[generatorSeed:generatorNext])
}

// isGenerator reports whether a state that looks like one of a generator has the values of its seed.
func isGenerator(b []byte) bool {
	u32 := binary.LittleEndian.Uint32
	count, block := u32(b[generatorCount:]), u32(b[generatorBlock:])
	g := rand.NewChaCha8([32]byte(b[generatorSeed:]))
	for range block * 8 { // 32 values for four steps of the block number
		g.Uint64()
	}
	for i := range count {
		if g.Uint64() != binary.LittleEndian.Uint64(b[8*i:]) {
			return false
		}
	}
	return true
}

// setGenerator makes b the state of a generator with a new seed.
func setGenerator(b []byte, seed [32]byte) {
	g := rand.NewChaCha8(seed)
	for i := range 32 {
		binary.LittleEndian.PutUint64(b[8*i:], g.Uint64())
	}
	copy(b[generatorSeed:], seed[:])
	for at, n := range map[int]uint32{generatorNext: 0, generatorCount: 32, generatorBlock: 0} {
		binary.LittleEndian.PutUint32(b[at:], n)
	}
}

// isZero reports whether all bytes are zero.
func isZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// reseed gives an instance that starts from an image random numbers of its own: it sets the generators and calls
// moot_wake.
func (in *instance) reseed() *failure {
	im := in.linear.image
	if im.private {
		return nil
	}
	in.renewGenerators(im.generators)
	if fn := in.module.ExportedFunction(abi.ExportWake); fn != nil {
		_, f := in.call(fn)
		return f
	}
	return nil
}

// renewGenerators gives the generators at the addresses new seeds.
func (in *instance) renewGenerators(at []uint32) {
	for _, at := range at {
		var seed [32]byte
		_, _ = crypto.Read(seed[:]) // never fails
		setGenerator(in.memory()[at:at+generatorSize], seed)
	}
}

// usesMathRand reports whether a program of Go in a memory has functions of math/rand or math/rand/v2. The names of all of
// its functions are in the memory, also without names in the module.
func usesMathRand(memory []byte) bool {
	return bytes.Contains(memory, []byte("math/rand.")) || bytes.Contains(memory, []byte("math/rand/v2."))
}
