package engine

import (
	"net/netip"
	"time"
)

// maxConnectWaits limits, for each tenant, the connections from one address (IPv6: one /64) whose connect chains wait for a service
// at the same time. Otherwise one client that connects again and again could use up the requests of an ask.
const maxConnectWaits = 16

// connectWaitRetry is the time after which a client over that limit may try again.
const connectWaitRetry = time.Second

// connectWaiter implements hook.Waiter for the connect chain of a reservation.
type connectWaiter Reservation

// BeginWait implements hook.Waiter.
func (w *connectWaiter) BeginWait() (retryAfter time.Duration) {
	network := networkOf(w.ip)
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	q := &w.t.quota
	if network != "" && q.asking[network] >= maxConnectWaits {
		return connectWaitRetry
	}
	if q.asking == nil {
		q.asking = map[string]int{}
	}
	q.asking[network]++
	return 0
}

// EndWait implements hook.Waiter.
func (w *connectWaiter) EndWait() {
	network := networkOf(w.ip)
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	q := &w.t.quota
	if q.asking[network]--; q.asking[network] == 0 {
		delete(q.asking, network)
	}
}

// networkOf returns the /64 of an IPv6 address, and any other address unchanged.
func networkOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Is4() || addr.Is4In6() {
		return ip
	}
	return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
}
