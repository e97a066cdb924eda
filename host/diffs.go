package host

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// diffs has the diffs of a node. Each belongs to one generation. The least recently used ones are dropped when there are
// too many bytes, those of the same tenant first if it has more than its share. Their generations run moot_init then.
type diffs struct {
	memory *memory

	mu      sync.Mutex
	list    list.List // of *keptDiff, the most recently used last
	bytes   int64
	tenants map[*budget]*tenantDiffs

	applied atomic.Int64 // wakes by a diff so far
}

// keptDiff is the place of a diff in the cache.
type keptDiff struct {
	*diff
	generation *generation
	all, own   *list.Element // in the lists of the node and of the tenant
}

// tenantDiffs are the diffs of one tenant.
type tenantDiffs struct {
	list  list.List // of *keptDiff, the most recently used last
	bytes int64
}

const (
	// maxDiffs is the maximum size of all diffs of a node in bytes.
	maxDiffs = 64 << 20

	// diffShare is the part of the limit for instances that all diffs may use besides them, if that is less.
	diffShare = 16

	// tenantDiffShare is the part of the size of all diffs that those of one tenant may have.
	tenantDiffShare = 16
)

// limit returns the maximum size of all diffs in bytes.
func (ds *diffs) limit() int64 { return min(maxDiffs, ds.memory.all()/diffShare) }

// find returns the diff of a generation to the image; nil if there is none.
func (ds *diffs) find(g *generation, im *image) *diff {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	k := g.diff
	if k == nil {
		return nil
	}
	if k.image != im {
		ds.remove(k)
		return nil
	}
	ds.list.MoveToBack(k.all)
	ds.tenants[g.memory].list.MoveToBack(k.own)
	return k.diff
}

// has reports whether a generation has a diff.
func (ds *diffs) has(g *generation) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return g.diff != nil
}

// add keeps the diff of a generation, unless it has one. It drops others to make room.
func (ds *diffs) add(g *generation, d *diff) {
	limit, n := ds.limit(), d.bytes()
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if g.diff != nil || n > limit/tenantDiffShare {
		return
	}
	for t := ds.tenants[g.memory]; t != nil && t.bytes+n > limit/tenantDiffShare; t = ds.tenants[g.memory] {
		ds.remove(t.list.Front().Value.(*keptDiff))
	}
	for ds.bytes+n > limit {
		ds.remove(ds.list.Front().Value.(*keptDiff))
	}
	if ds.tenants == nil {
		ds.tenants = make(map[*budget]*tenantDiffs)
	}
	t := ds.tenants[g.memory]
	if t == nil {
		t = new(tenantDiffs)
		ds.tenants[g.memory] = t
	}
	k := &keptDiff{diff: d, generation: g}
	k.all, k.own = ds.list.PushBack(k), t.list.PushBack(k)
	ds.bytes, t.bytes, g.diff = ds.bytes+n, t.bytes+n, k
	g.pool.diffed.Store(true)
}

// remove drops a diff. The caller holds mu.
func (ds *diffs) remove(k *keptDiff) {
	g, n := k.generation, k.diff.bytes()
	t := ds.tenants[g.memory]
	ds.list.Remove(k.all)
	t.list.Remove(k.own)
	ds.bytes, t.bytes, g.diff = ds.bytes-n, t.bytes-n, nil
	g.pool.diffed.Store(false)
	if t.list.Len() == 0 {
		delete(ds.tenants, g.memory)
	}
}

// forget drops the diff of a generation that is closed.
func (ds *diffs) forget(g *generation) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if g.diff != nil {
		ds.remove(g.diff)
	}
}

// dropOf drops the diffs to an image.
func (ds *diffs) dropOf(im *image) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for e := ds.list.Front(); e != nil; {
		k := e.Value.(*keptDiff)
		if e = e.Next(); k.image == im {
			ds.remove(k)
		}
	}
}

// numbers returns the number of diffs and their bytes.
func (ds *diffs) numbers() (n int, bytes int64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.list.Len(), ds.bytes
}
