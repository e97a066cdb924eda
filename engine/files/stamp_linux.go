package files

import (
	"io/fs"
	"syscall"
	"time"
)

func stampOf(info fs.FileInfo, now time.Time) Stamp {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Stamp{}
	}
	changed := time.Unix(s.Ctim.Unix())
	if now.Sub(changed) < settled {
		return Stamp{}
	}
	return Stamp{s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
}
