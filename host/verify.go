package host

import (
	"errors"
	"fmt"
)

// This file proves resets in tests, see Config.VerifyResets.

const markByte = 0xA5

// leaveMarks leaves marks wherever a guest could leave them: in memory that it has and memory that it grows into, and in all
// mutable globals. It leaves out some pages, others for each n, so that resets find pages of all kinds.
func (in *instance) leaveMarks(n int64) {
	in.linear.late = nil
	_, _ = in.mem.Grow(2) // not possible at the limit
	b := in.linear.bytes()
	for page := 0; page*pageSize < len(b); page++ {
		if (int64(page)+n)%5 == 0 {
			continue
		}
		for at := page * pageSize; at < (page+1)*pageSize; at++ {
			b[at] = markByte
		}
	}
	for _, global := range in.mutables() {
		global.Set(global.Get() ^ markByte)
	}
	in.depth.Set(markByte)
	in.chain.Set(markByte)
}

// verify compares a reset instance with its image, and checks that it grows into zeros.
func (in *instance) verify() error {
	if err := in.compare(); err != nil {
		return err
	}
	if _, ok := in.mem.Grow(1); !ok {
		return nil
	}
	if !isZero(in.linear.bytes()[in.linear.image.size():]) {
		return errors.New("new memory is not zero")
	}
	if err := in.restore(); err != nil {
		return err
	}
	return in.compare()
}

func (in *instance) compare() error {
	l, im := in.linear, in.linear.image
	if uint64(in.mem.Size()) != im.size() || l.size != im.size() {
		return fmt.Errorf("%d bytes of memory, %d in the host, the image has %d", in.mem.Size(), l.size, im.size())
	}
	for at, b := range l.bytes() {
		if b != im.bytes[at] {
			return fmt.Errorf("byte %#x is %d, that of the image is %d", at, b, im.bytes[at])
		}
	}
	for i, global := range in.mutables() {
		if global.Get() != im.globals[i] {
			return fmt.Errorf("global %d is %d, that of the image is %d", i, global.Get(), im.globals[i])
		}
	}
	if in.depth.Get() != in.initial || in.fuel.Get() != 0 || in.buffer != im.buffer || in.capacity != im.capacity {
		return fmt.Errorf("depth %d, fuel %d, %d bytes of buffer at %#x", in.depth.Get(), in.fuel.Get(), in.capacity, in.buffer)
	}
	return nil
}
