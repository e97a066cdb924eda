package host

import (
	"bytes"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// generationOf returns the generation of the tenant's first entry.
func generationOf(h *Host, tenant string) *generation {
	return h.current.Load().tenants[tenant].entries[0].generation
}

// TestInstancesStartFromAnImage checks that instances share one image whose content is that of an instance that has
// started by itself.
func TestInstancesStartFromAnImage(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	g := generationOf(h, "t")
	instanceOf(t, h, "t").close() // a load starts no instance for a config that was accepted before
	im := g.images.current.Load()
	if im == nil {
		t.Fatalf("no image: %s", g.images.why())
	}
	for range 2 {
		in := instanceOf(t, h, "t")
		if in.linear.image != im {
			t.Error("an instance does not start from the image")
		}
		if n := im.users.Load(); n != 2 {
			t.Errorf("%d users of the image, it has one instance", n)
		}
		in.close()
	}
	for _, word := range []string{"hello", "rewrite other"} {
		if v, ev := decide(h, word); v.Outcome != hook.Allowed || ev.Message.Text == "rewrite other" {
			t.Errorf("%q: %+v, %q", word, v, ev.Message.Text)
		}
	}
	if h.codes.imaged != int64(im.size()) {
		t.Errorf("%d bytes of images, it has %d", h.codes.imaged, im.size())
	}
	swap(t, h, Rules{})
	waitClosed(h, func() bool { h.codes.mu.Lock(); defer h.codes.mu.Unlock(); return h.codes.imaged == 0 })
	if h.codes.imaged != 0 {
		t.Errorf("%d bytes of images are left", h.codes.imaged)
	}
}

// writesMemory is a module whose start writes a number at 200, and whose hook allows if it is there.
func writesMemory(more func(m *asm.Module), start, hook asm.Code) []byte {
	m := blank()
	more(m)
	speak(m)
	m.Func(abi.ExportInitialize, "->", start+asm.I32(200)+asm.I32(7)+asm.Store32(0))
	m.Func("on_say_receive", "i32 -> i32", hook+asm.I32(200)+asm.Load32(0)+asm.I32(7)+asm.Unequal+asm.If(asm.Unreachable)+asm.I32(abi.Allow))
	return m.Wasm()
}

// TestModulesWithoutAnImage checks that a module has no image if an instance could miss a part of its state or see that
// of another tenant, that the reason is known, that the module runs all the same, and that its instances are kept longer.
func TestModulesWithoutAnImage(t *testing.T) {
	nothing := func(*asm.Module) {}
	importing := func(name, signature string) func(*asm.Module) {
		return func(m *asm.Module) { m.Import(abi.ImportModule, name, signature) }
	}
	ask := asm.I32(64) + asm.I32(1) + asm.I32(128) + asm.I32(8) + asm.Call(0) + asm.Drop
	draw := asm.I32(128) + asm.I32(8) + asm.Call(0) + asm.Drop
	random := importing(abi.ImportRandom, "i32 i32 -> i32")
	for name, c := range map[string]struct {
		add         func(*asm.Module)
		start, hook asm.Code
		why         string
	}{
		"nothing else":     {add: nothing},
		"the clock":        {add: importing(abi.ImportNow, "-> i64"), start: asm.Call(0) + asm.Drop},
		"kv at a hook":     {add: importing(abi.ImportKVGet, "i32 i32 i32 i32 -> i32"), hook: ask},
		"random at a hook": {add: random, hook: draw},
		"tables":           {add: func(m *asm.Module) { m.Table(4, asm.NoMax) }, hook: asm.NullFunc + asm.I32(1) + asm.TableGrow + asm.Drop, why: "writes to tables"},
		"kv":               {add: importing(abi.ImportKVGet, "i32 i32 i32 i32 -> i32"), start: ask, why: "uses data of its tenant before moot_init"},
		"room_size":        {add: importing(abi.ImportRoomSize, "-> i32"), start: asm.Call(0) + asm.Drop, why: "uses data of its tenant before moot_init"},
		"config":           {add: importing(abi.ImportConfigGet, "i32 i32 i32 i32 -> i32"), start: ask, why: "reads its config before moot_init"},
		"random":           {add: random, start: draw, why: "draws random bytes when it starts, and does not export moot_wake"},
		"random, and moot_wake": {add: func(m *asm.Module) {
			random(m)
			m.Func(abi.ExportWake, "->", "")
		}, start: draw},
		"all memory": {add: nothing, start: asm.I32(300) + asm.MemoryGrow + asm.Drop, why: "uses as much memory as it can get when it starts"},
	} {
		t.Run(name, func(t *testing.T) {
			h, log := start(t, Config{})
			swap(t, h, rulesOf(writesMemory(c.add, c.start, c.hook), Entry{Grants: allGrants, Memory: 32 << 20}))
			g := generationOf(h, "t")
			if why := g.images.why(); why != c.why || (g.images.current.Load() == nil) != (c.why != "") {
				t.Errorf("%q, want %q", why, c.why)
			}
			if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
				t.Errorf("%+v\n%s", v, log)
			}
			h.memory.awake.sweep(now() + int64(stealAfter))
			if n := alive(h, "t"); (n == 0) != (c.why == "") {
				t.Errorf("%d instances after ten idle seconds", n)
			}
		})
	}
}

// TestAnImageIsRenewed checks that the first instance that starts ten minutes after an image was made has it renewed, without
// waiting for that, that instances keep the image from which they started, and that nothing happens without starts.
func TestAnImageIsRenewed(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	g := generationOf(h, "t")
	old := instanceOf(t, h, "t")
	im := old.linear.image
	if young := instanceOf(t, h, "t"); young.linear.image != im {
		t.Fatal("the image was renewed early")
	}
	im.made -= int64(imageAge)
	if g.images.current.Load() != im {
		t.Error("the image was renewed, although no instance starts")
	}
	waits := instanceOf(t, h, "t")
	if waits.linear.image != im {
		t.Error("an instance has waited for the new image")
	}
	waits.close()
	g.pool.makers.Wait()
	if in := instanceOf(t, h, "t"); in.linear.image == im || in.linear.image == nil {
		t.Error("the image was not renewed")
	}
	if old.linear.image != im || im.bytes == nil {
		t.Error("an instance has lost its image")
	}
	old.close()
	instanceOf(t, h, "t")
	if n := im.users.Load(); n != 1 { // that of the second instance
		t.Errorf("%d users of the old image", n)
	}
}

// TestAnEntryWithLessMemoryThanTheImage checks that such an entry starts its instances without the image.
func TestAnEntryWithLessMemoryThanTheImage(t *testing.T) {
	grows := writesMemory(func(*asm.Module) {}, asm.I32(8)+asm.MemoryGrow+asm.I32(-1)+asm.Equal+asm.If(asm.I32(200)+asm.I32(8)+asm.Store32(0)), "")
	h, _ := start(t, Config{})
	swap(t, h, every(grows, tenantsOf(Entry{Module: "m"}, Entry{Module: "m", Memory: 24 << 16})))
	if in := instanceOf(t, h, "t0"); in.linear.image == nil || in.mem.Size() != 32<<16 {
		t.Errorf("%d bytes of memory", in.mem.Size())
	}
	if in := instanceOf(t, h, "t1"); in.linear.image != nil || in.mem.Size() != 24<<16 {
		t.Errorf("%d bytes of memory, the entry has %d", in.mem.Size(), 24<<16)
	}
}

// TestRandomNumbersDiffer checks that Go's random generators have other numbers in each instance of an image.
func TestRandomNumbersDiffer(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	g := generationOf(h, "t")
	instanceOf(t, h, "t").close()
	if im := g.images.current.Load(); im == nil || len(im.generators) == 0 {
		t.Fatalf("no image, or no generators: %s", g.images.why())
	}
	seen := make(map[string]bool)
	for range 4 {
		_, ev := decide(h, "rand")
		seen[ev.Message.Text] = true
		g.pool.drain()
	}
	if len(seen) != 4 {
		t.Errorf("four instances draw %v", seen)
	}
}

// TestMootWake checks that moot_wake is called once in each instance from an image, before moot_init, and not in one
// that starts by itself.
func TestMootWake(t *testing.T) {
	m := blank()
	speak(m)
	add := func(at int) asm.Code {
		return asm.I32(at) + asm.I32(at) + asm.Load32(0) + asm.I32(1) + asm.Add + asm.Store32(0)
	}
	m.Func(abi.ExportWake, "->", add(200))
	m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(204)+asm.I32(200)+asm.Load32(0)+asm.Store32(0)+asm.I32(0))
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{}))
	for range 2 {
		if in := instanceOf(t, h, "t"); !bytes.Equal(in.memory()[200:208], []byte{1, 0, 0, 0, 1, 0, 0, 0}) {
			t.Errorf("%v", in.memory()[200:208])
		}
	}
}

// TestImagesHaveTheirShareOfMemory checks that images use a bounded part of the memory, and that a module of one tenant
// does not take the place of one that several tenants use.
func TestImagesHaveTheirShareOfMemory(t *testing.T) {
	const each = 24 << 16
	h, _ := start(t, Config{Memory: imageShare * 2 * each})
	chain := make([]Entry, 6)
	for i := range chain {
		chain[i].Module = []string{"allow", "allow", "allow", "code-0", "code-4", "code-5"}[i]
	}
	swap(t, h, tenantsOf(chain...))
	if h.codes.imaged > 2*each {
		t.Errorf("%d bytes of images", h.codes.imaged)
	}
	for i := range chain {
		instanceOf(t, h, "t"+string(rune('0'+i)))
	}
	if generationOf(h, "t0").images.current.Load() == nil {
		t.Error("the module that three tenants use has no image")
	}
	if h.codes.imaged > 2*each {
		t.Errorf("%d bytes of images", h.codes.imaged)
	}
}

// TestConcurrentStartsMakeOneImage checks that starts at the same time make one image.
func TestConcurrentStartsMakeOneImage(t *testing.T) {
	h, _ := start(t, Config{Instances: 4}, Entry{Module: "allow"})
	g := generationOf(h, "t")
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	g.images.drop()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			in, f := g.newInstance(false)
			if f != nil {
				t.Error(f)
				return
			}
			in.close()
		})
	}
	all.Wait()
	im := g.images.current.Load()
	if im == nil || im.users.Load() != 1 || h.codes.imaged != int64(im.size()) {
		t.Errorf("%d bytes of images", h.codes.imaged)
	}
}
