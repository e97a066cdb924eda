// Package host runs a tenant's rules: WebAssembly modules, each in a sandbox of
// its own. A [Host] has the methods of [hook.Middleware].
//
// # Words
//
// Rules say which modules there are and where in a tenant's chain each is asked.
// [Host.Load] makes a [Revision] of them and [Host.Swap] puts it into use: every
// run of a chain sees one whole revision.
//
// An entry is a module's place in a chain. Entries that agree in module, tenant,
// config, memory and grants share a generation: a compiled module, the host
// functions it was granted and a pool of instances. A reload that leaves those
// alone carries the generation over, with its warm instances.
//
// An instance is a module with its memory. It is called by one goroutine at a
// time, the one that took it from its pool, and it is thrown away after
// a trap, an exit, a missed deadline or an answer that is against the contract.
//
// A failure is what went wrong with one call; its [Kind] is in logs and
// counters, and the entry's OnError says what the chain makes of it. Clients hear
// nothing of it but "middleware error".
//
// # Limits
//
// A guest cannot stop the process or hold it up: package meter makes it call
// back every few hundred microseconds, and there the deadline is looked at. Its
// memory is bounded by its entry and by [Config].Memory for all of them together.
//
// # Locks
//
// None is held while a guest runs, nor while another is taken, except that Load
// holds the lock of loading throughout.
package host
