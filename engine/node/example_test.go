package node_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/mootchat/moot/engine/node"
)

// ExampleStart starts a node on free ports, requests its readiness, and ends the node.
func ExampleStart() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var log bytes.Buffer
	n, err := node.Start(ctx, node.Config{File: "testdata/free-ports.yaml", Set: []string{"drain=0s"}, Log: &log})
	if err != nil {
		fmt.Println(err)
		return
	}
	ready, err := http.Get("http://" + n.Addresses().Admin + "/health/ready")
	if err != nil {
		fmt.Println(err)
		return
	}
	ready.Body.Close()
	fmt.Println(ready.Status)
	stop()
	fmt.Println(n.Wait())
	// Output:
	// 200 OK
	// <nil>
}
