package node

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/stream"
)

// openRings returns a ring for each writer of the engine, or none if http.writing is write, or is auto and io_uring does not work.
func openRings(writing string, log *slog.Logger) ([]fanout.Ring, error) {
	if writing == "write" {
		return nil, nil
	}
	var rings []fanout.Ring
	for range runtime.GOMAXPROCS(0) {
		ring, err := stream.NewRing(fanout.RingSize)
		if err == nil {
			rings = append(rings, ring)
			continue
		}
		err = errors.Join(err, closeRings(rings))
		if writing == "io_uring" {
			return nil, fmt.Errorf("http.writing: io_uring does not work here: %w; use auto or write, or a kernel and a container that permit it", err)
		}
		log.Debug("io_uring does not work here: each write is a system call", "error", err)
		return nil, nil
	}
	return rings, nil
}

func closeRings(rings []fanout.Ring) (err error) {
	for _, r := range rings {
		err = errors.Join(err, r.Close())
	}
	return err
}
