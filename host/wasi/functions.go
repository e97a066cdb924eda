package wasi

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// definition is a function of preview 1: its parameters, one letter each (i: i32, l: i64), and its implementation. All
// functions but proc_exit return an errno.
type definition struct {
	name   string
	params string
	run    func(*call) errno
}

func (d *definition) function() Function {
	f := Function{Results: []api.ValueType{api.ValueTypeI32}}
	for _, p := range d.params {
		f.Params = append(f.Params, map[rune]api.ValueType{'i': api.ValueTypeI32, 'l': api.ValueTypeI64}[p])
	}
	run := d.run
	if d.name == "proc_exit" {
		f.Results = nil
	}
	f.Call = func(g Guest, m api.Memory, stack []uint64) {
		c := call{guest: g, memory: memory{m}, stack: stack}
		stack[0] = uint64(run(&c))
	}
	return f
}

// functions returns all functions of preview 1, in the order of the specification.
func functions() []definition {
	return []definition{
		{"args_get", "ii", succeed},
		{"args_sizes_get", "ii", noStrings},
		{"environ_get", "ii", succeed},
		{"environ_sizes_get", "ii", noStrings},
		{"clock_res_get", "ii", clockResGet},
		{"clock_time_get", "ili", clockTimeGet},
		{"fd_advise", "illi", onStream(spipe)},
		{"fd_allocate", "ill", onStream(notsup)},
		{"fd_close", "i", onStream(success)},
		{"fd_datasync", "i", onStream(success)},
		{"fd_fdstat_get", "ii", fdFdstatGet},
		{"fd_fdstat_set_flags", "ii", onStream(success)},
		{"fd_fdstat_set_rights", "ill", onStream(success)},
		{"fd_filestat_get", "ii", fdFilestatGet},
		{"fd_filestat_set_size", "il", onStream(inval)},
		{"fd_filestat_set_times", "illi", onStream(notsup)},
		{"fd_pread", "iiili", onStream(spipe)},
		{"fd_prestat_get", "ii", noDescriptor},
		{"fd_prestat_dir_name", "iii", noDescriptor},
		{"fd_pwrite", "iiili", onStream(spipe)},
		{"fd_read", "iiii", fdRead},
		{"fd_readdir", "iiili", noDescriptor},
		{"fd_renumber", "ii", noDescriptor},
		{"fd_seek", "ilii", onStream(spipe)},
		{"fd_sync", "i", onStream(success)},
		{"fd_tell", "ii", onStream(spipe)},
		{"fd_write", "iiii", fdWrite},
		{"path_create_directory", "iii", noDescriptor},
		{"path_filestat_get", "iiiii", noDescriptor},
		{"path_filestat_set_times", "iiiilli", noDescriptor},
		{"path_link", "iiiiiii", noDescriptor},
		{"path_open", "iiiiillii", noDescriptor},
		{"path_readlink", "iiiiii", noDescriptor},
		{"path_remove_directory", "iii", noDescriptor},
		{"path_rename", "iiiiii", noDescriptor},
		{"path_symlink", "iiiii", noDescriptor},
		{"path_unlink_file", "iii", noDescriptor},
		{"poll_oneoff", "iiii", pollOneoff},
		{"proc_exit", "i", procExit},
		{"proc_raise", "i", unsupported},
		{"sched_yield", "", succeed},
		{"random_get", "ii", randomGet},
		{"sock_accept", "iii", noDescriptor},
		{"sock_recv", "iiiiii", noDescriptor},
		{"sock_send", "iiiii", noDescriptor},
		{"sock_shutdown", "ii", noDescriptor},
	}
}

func succeed(*call) errno      { return success }
func unsupported(*call) errno  { return nosys }
func noDescriptor(*call) errno { return badf }

// noStrings answers that there are no arguments or no environment variables: a count and a size of zero.
func noStrings(c *call) errno {
	if e := c.memory.putU32(c.u32(0), 0); e != success {
		return e
	}
	return c.memory.putU32(c.u32(1), 0)
}

// onStream returns a function that answers e for the three streams, and EBADF for any other descriptor.
func onStream(e errno) func(*call) errno {
	return func(c *call) errno {
		if c.u32(0) > uint32(Stderr) {
			return badf
		}
		return e
	}
}

func procExit(c *call) errno {
	panic(sys.NewExitError(c.u32(0)))
}
