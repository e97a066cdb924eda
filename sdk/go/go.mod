module github.com/mootchat/moot/sdk/go

go 1.24
