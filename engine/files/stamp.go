package files

import (
	"context"
	"os"
	"time"
)

// Stamp identifies the content of a file: a file with the same Stamp has the same content, because
// the kernel sets the time of each change. The zero Stamp is that of a file whose content may differ: it
// has just changed, does not exist, or the system has no such time.
type Stamp struct {
	device, inode          uint64
	size, modified, change int64
}

// settled is the age of a change after which a further change has another time.
const settled = 2 * time.Second

// Stamps returns the stamps of files. If the file system does not answer before ctx ends, all are zero.
func (w *Waiter) Stamps(ctx context.Context, paths []string) []Stamp {
	stamps, err := Wait(ctx, w, "states of files", func() ([]Stamp, error) {
		stamps, now := make([]Stamp, len(paths)), time.Now()
		for i, path := range paths {
			if info, err := os.Stat(path); err == nil {
				stamps[i] = stampOf(info, now)
			}
		}
		return stamps, nil
	}, nil)
	if err != nil {
		return make([]Stamp, len(paths))
	}
	return stamps
}
