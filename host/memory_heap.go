//go:build !(linux || darwin || freebsd)

package host

// region is memory of Go's heap, for systems on which the host maps no pages.
type region struct{ b []byte }

func reserve(uint64) (region, error) { return region{}, nil }

// grow makes size bytes usable and keeps their content.
func (r *region) grow(size uint64) []byte {
	b := make([]byte, size)
	copy(b, r.b)
	r.b = b
	return b
}

func (r *region) free() { r.b = nil }
