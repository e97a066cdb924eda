package api

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestVisitsEndByThemselves checks that a visit that is not renewed ends, that a renewed one stays, and that nothing is left of
// them.
func TestVisitsEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d desks
		ann, bea := visitor{"acme", "ann", "a1"}, visitor{"acme", "bea", "b1"}
		d.visit(ann, "h1")
		d.visit(bea, "")
		time.Sleep(visitTime - time.Second)
		d.visit(ann, "h2")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if all := d.here([]string{"acme"}); len(all) != 1 || all[0].Name != "ann" || all[0].Looking != "h2" || all[0].IdleTime != 2000 {
			t.Errorf("%+v", all)
		}
		time.Sleep(visitTime)
		synctest.Wait()
		if len(d.tenants) != 0 {
			t.Errorf("%d tenants have visits", len(d.tenants))
		}
	})
}

// TestAVisitEndsAfterItsTimerRanEarly checks that a visit ends although its timer was set a moment before the time of its request was noted.
func TestAVisitEndsAfterItsTimerRanEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d desks
		ann := visitor{"acme", "ann", "a1"}
		d.visit(ann, "")
		d.mu.Lock()
		d.tenants["acme"][ann].at = time.Now().Add(time.Microsecond)
		d.mu.Unlock()
		time.Sleep(visitTime + time.Second)
		synctest.Wait()
		if left := d.here([]string{"acme"}); len(left) != 0 {
			t.Errorf("the visit stays: %+v", left)
		}
	})
}

// TestVisitsAreBounded checks that further visits than the limit are not kept, and that those before can be renewed.
func TestVisitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d desks
		for i := range 2 * visitsOfTenant {
			d.visit(visitor{"acme", "ann", fmt.Sprint(i)}, "")
		}
		d.visit(visitor{"other", "ann", "1"}, "")
		d.visit(visitor{"acme", "ann", "0"}, "h1")
		if n := len(d.here([]string{"acme"})); n != visitsOfTenant || len(d.here([]string{"other"})) != 1 {
			t.Errorf("%d visits of a tenant are kept", n)
		}
		time.Sleep(2 * visitTime)
		synctest.Wait()
		if len(d.tenants) != 0 {
			t.Errorf("%d tenants have visits", len(d.tenants))
		}
	})
}
