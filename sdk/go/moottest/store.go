//go:build !wasm

package moottest

import (
	"math"
	"strconv"
	"time"
)

// held returns the value of key, unless it has expired.
func (h *Host) held(key string) (string, bool) {
	if end, ok := h.expires[key]; ok && !h.Clock.Before(end) {
		delete(h.KV, key)
		delete(h.expires, key)
	}
	value, ok := h.KV[key]
	return value, ok
}

func (h *Host) hold(key, value string, ttlMS int64) {
	h.KV[key] = value
	delete(h.expires, key)
	if ttlMS > 0 {
		h.expires[key] = h.Clock.Add(time.Duration(ttlMS) * time.Millisecond)
	}
}

// KVGet implements [moot.Imports].
func (h *Host) KVGet(key string, buf []byte) int32 {
	if !h.granted("kv") {
		return notGranted
	}
	value, ok := h.held(key)
	if !ok {
		return absent
	}
	return fill(buf, value)
}

// KVSet implements [moot.Imports].
func (h *Host) KVSet(key, value string, ttlMS int64) int32 {
	if !h.may("kv") {
		return notGranted
	}
	h.hold(key, value, ttlMS)
	return 0
}

// KVDel implements [moot.Imports].
func (h *Host) KVDel(key string) int32 {
	if !h.may("kv") {
		return notGranted
	}
	_, ok := h.held(key)
	delete(h.KV, key)
	return truth(ok)
}

// KVAdd implements [moot.Imports].
func (h *Host) KVAdd(key string, delta, ttlMS int64, sum *int64) int32 {
	if !h.may("kv") {
		return notGranted
	}
	value, _ := h.held(key)
	n, _ := strconv.ParseInt(value, 10, 64)
	*sum = n + delta
	h.hold(key, strconv.FormatInt(*sum, 10), ttlMS)
	return 0
}

// KVCAS implements [moot.Imports].
func (h *Host) KVCAS(key, old, value string, ttlMS int64) int32 {
	if !h.may("kv") {
		return notGranted
	}
	if now, _ := h.held(key); now != old {
		return 0
	}
	h.hold(key, value, ttlMS)
	return 1
}

// RateTake implements [moot.Imports].
func (h *Host) RateTake(key string, tokens, perMS, burst int32) int32 {
	if !h.may("rate") {
		return notGranted
	}
	if tokens <= 0 || perMS <= 0 || burst < tokens {
		return tooLarge
	}
	b, ok := h.buckets[key]
	if !ok {
		b = bucket{float64(burst), h.Clock}
	}
	gained := float64(h.Clock.Sub(b.at).Milliseconds()) / float64(perMS)
	b = bucket{min(float64(burst), b.tokens+gained), h.Clock}
	wait := math.Ceil((float64(tokens) - b.tokens) * float64(perMS))
	if wait <= 0 {
		b.tokens -= float64(tokens)
		wait = 0
	}
	h.buckets[key] = b
	return int32(wait)
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
