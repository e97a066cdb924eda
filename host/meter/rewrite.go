package meter

// Rewrite checks wasm and returns the metered module. It does not keep or change wasm. Every error is an
// [*Error]; it does not panic, whatever the bytes. Its time and memory grow with the size of the binary and no
// faster, and it may be called from any number of goroutines. The same input gives the same output, so
// the digest of the original can stand for both.
func Rewrite(wasm []byte, limits Limits) (*Module, error) {
	return nil, &Error{Kind: ErrNotAllowed, What: "rewriting is not written yet", Function: -1}
}
