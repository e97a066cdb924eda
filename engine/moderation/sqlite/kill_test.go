package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/moderation"
)

const writerName = "moderation-writer"

// TestMain also runs the process that TestAnsweredChangesSurviveAKill kills.
func TestMain(m *testing.M) {
	if os.Args[0] == writerName {
		if err := write(os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// write sets and removes sanctions until the process is killed, and prints each change after the store has answered.
func write(dir, round string) error {
	ctx := context.Background()
	file, err := datafile.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	s := New(file)
	for i := 0; ; i++ {
		one := moderation.Sanction{Tenant: "t", User: fmt.Sprintf("%s-%06d", round, i), Kind: moderation.Ban, Rooms: moderation.AllRooms}
		if err := one.Identify(); err != nil {
			return err
		}
		if _, err := s.Set(ctx, one); err != nil {
			return err
		}
		fmt.Println("set", one.User)
		if i%3 > 0 {
			continue
		}
		if _, err := s.Remove(ctx, "t", one.ID); err != nil {
			return err
		}
		fmt.Println("removed", one.User)
	}
}

// TestAnsweredChangesSurviveAKill kills a process with SIGKILL while it changes sanctions. The file then has each change that
// was answered, at most one more, and no damage.
func TestAnsweredChangesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	want := map[string]bool{} // by user
	for round := range 4 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, dir, fmt.Sprint(round))
		cmd.Args[0], cmd.Stderr = writerName, os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := ""
		lines := bufio.NewScanner(out)
		for n, most := 0, 20+rand.IntN(100); lines.Scan(); n++ {
			if n == most {
				_ = cmd.Process.Kill() // the lines that are in the pipe are read as well
			}
			change, user, _ := strings.Cut(lines.Text(), " ")
			want[user] = change == "set"
			last = user
		}
		_ = cmd.Wait() // it was killed
		file, err := datafile.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := New(file)
		got := map[string]bool{}
		for _, user := range strings.Fields(s.users(t)) {
			got[user] = true
		}
		for user, is := range want {
			if got[user] != is && (user != last || is == (changeAfter(user) == "set")) {
				t.Errorf("round %d: %s is banned: %t, want %t", round, user, got[user], is)
			}
		}
		unanswered := 0
		for user := range got {
			if _, known := want[user]; !known {
				unanswered++
				want[user] = true
			}
		}
		if unanswered > 1 || last == "" {
			t.Errorf("round %d: the file has %d changes that were not answered, after %q", round, unanswered, last)
		}
		for user := range want {
			want[user] = got[user]
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// changeAfter returns the change that write makes after the last one of a user that it has printed as set.
func changeAfter(user string) string {
	var round, i int
	if _, err := fmt.Sscanf(user, "%d-%06d", &round, &i); err == nil && i%3 == 0 {
		return "removed"
	}
	return "set"
}
