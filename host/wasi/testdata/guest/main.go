// A program that tries everything that WASI could give it. Each export answers with a line on its output, or a number.
package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {}

//go:wasmexport printing
func printing() {
	fmt.Println("to the output")
	fmt.Fprintln(os.Stderr, "to the errors")
	fmt.Print("no end")
}

//go:wasmexport surroundings
func surroundings() {
	fmt.Println(len(os.Args), len(os.Environ()), os.Getenv("HOME") == "")
	wd, _ := os.Getwd()
	fmt.Printf("directory %q\n", wd)
}

//go:wasmexport opening
func opening() {
	for _, name := range []string{"/etc/passwd", ".", "main.go", "/dev/stdin"} {
		_, err := os.Open(name)
		fmt.Println(name, err != nil)
	}
	fmt.Println("created", os.WriteFile("/tmp/x", nil, 0o600) == nil)
	_, err := net.Dial("tcp", "127.0.0.1:80")
	fmt.Println("dialed", err == nil)
	n, err := os.Stdin.Read(make([]byte, 10))
	fmt.Println("read", n, err)
}

//go:wasmexport sleeping
func sleeping(ms int64) int64 {
	start := time.Now()
	time.Sleep(time.Duration(ms) * time.Millisecond)
	return int64(time.Since(start))
}

//go:wasmexport now
func now() int64 { return time.Now().UnixNano() }

//go:wasmexport random
func random() int64 {
	var b [8]byte
	rand.Read(b[:])
	fmt.Println(b)
	return int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16 | int64(b[3])<<24
}

//go:wasmexport exiting
func exiting(code int32) { os.Exit(int(code)) }
