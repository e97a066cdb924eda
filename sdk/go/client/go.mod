module github.com/mootchat/moot/sdk/go/client

go 1.25

require github.com/coder/websocket v1.8.15

require go.uber.org/goleak v1.3.0
