// Package host runs the rules of tenants: WebAssembly modules, each in a sandbox of
// its own. A [Host] has the methods of [hook.Middleware].
//
// # Words
//
// Rules name the modules, and the place of each in the chains of tenants. [Host.Load] makes a [Revision] of
// them and [Host.Swap] puts it into use: every run of a chain sees one whole revision.
//
// An entry is a module's place in a chain. Entries with the same module, tenant, config, memory and grants share a
// generation: the code, a config, grants and a pool of instances. A reload that does not change these keeps the
// generation and its instances.
//
// The code of a module is its rewritten binary and its machine code. All tenants share it, with the host functions that
// it is linked to: both are immutable. The state of a tenant is found through the instance, which is the context of its
// own calls.
//
// An instance is a module with its memory. One goroutine at a time calls it, the one that took it from its pool. It is
// closed after a trap, an exit, a missed deadline or an answer that violates the contract. A pool is awake while it has
// instances: they are made when an event needs one, and closed when they are idle.
//
// A failure is the error of one call. Its [Kind] is in logs and counters, and the entry's OnError decides how the chain
// continues. Clients see only "middleware error".
//
// # Limits
//
// A guest can neither end nor block the process: package meter makes it call the host every few hundred microseconds,
// and the host checks the deadline. Its memory is limited by its entry, and by [Config].Memory for all instances and
// all code together.
//
// # Locks
//
// No lock is held while a guest runs. Two are held while others are taken: Load holds the lock of loading throughout, and
// the lock of a code is held while it is rewritten and compiled, before the locks of all codes and of the memory.
package host
