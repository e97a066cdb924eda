package host

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// wasiImports is what Go guests need to start, until the shim is there.
var wasiImports = map[string]hostFunction{
	"args_get":            {signature(is(i32), i32, i32), "", zero},
	"args_sizes_get":      {signature(is(i32), i32, i32), "", wasiSizes},
	"environ_get":         {signature(is(i32), i32, i32), "", zero},
	"environ_sizes_get":   {signature(is(i32), i32, i32), "", wasiSizes},
	"sched_yield":         {signature(is(i32)), "", zero},
	"fd_prestat_get":      {signature(is(i32), i32, i32), "", badf},
	"fd_prestat_dir_name": {signature(is(i32), i32, i32, i32), "", badf},
	"fd_close":            {signature(is(i32), i32), "", badf},
	"fd_fdstat_get":       {signature(is(i32), i32, i32), "", badf},
	"fd_fdstat_set_flags": {signature(is(i32), i32, i32), "", zero},
	"fd_seek":             {signature(is(i32), i32, i64, i32, i32), "", badf},
	"fd_read":             {signature(is(i32), i32, i32, i32, i32), "", badf},
	"proc_exit": {signature(nil, i32), "", func(in *instance, st []uint64) {
		panic(sys.NewExitError(uint32(st[0])))
	}},
	"random_get": {signature(is(i32), i32, i32), "", func(in *instance, st []uint64) {
		b, _ := in.mem.Read(uint32(st[0]), uint32(st[1]))
		rand.Read(b)
		st[0] = 0
	}},
	"clock_time_get": {signature(is(i32), i32, i64, i32), "", func(in *instance, st []uint64) {
		in.mem.WriteUint64Le(uint32(st[2]), uint64(time.Now().UnixNano()))
		st[0] = 0
	}},
	"fd_write": {signature(is(i32), i32, i32, i32, i32), "", func(in *instance, st []uint64) {
		n := uint32(0)
		for k := range uint32(st[2]) {
			v, _ := in.mem.Read(uint32(st[1])+8*k, 8)
			b, _ := in.mem.Read(binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[4:]))
			in.wrote(b)
			n += uint32(len(b))
		}
		in.mem.WriteUint32Le(uint32(st[3]), n)
		st[0] = 0
	}},
	"poll_oneoff": {signature(is(i32), i32, i32, i32, i32), "", func(in *instance, st []uint64) {
		in.mem.WriteUint32Le(uint32(st[3]), uint32(st[2]))
		st[0] = 0
	}},
}

func zero(_ *instance, st []uint64) { st[0] = 0 }
func badf(_ *instance, st []uint64) { st[0] = 8 }
func wasiSizes(in *instance, st []uint64) {
	in.mem.WriteUint32Le(uint32(st[0]), 0)
	in.mem.WriteUint32Le(uint32(st[1]), 0)
	st[0] = 0
}

var _ = api.ValueTypeI32
