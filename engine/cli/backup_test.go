package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/sqlite"
	"github.com/mootchat/moot/host/store"
	redisstore "github.com/mootchat/moot/host/store/redis"
)

// TestBackupCommandsSaveStoredValues runs the commands of backup.md against a Redis with a stored value of a module and a
// directory data that is in use, and starts another Redis and another store from the backups.
func TestBackupCommandsSaveStoredValues(t *testing.T) {
	ctx, server := t.Context(), redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address()})
	defer client.Close()
	values := redisstore.New(client, "moot")
	defer values.Close()
	key := store.Key{Tenant: "acme", Module: "gate", Name: "banned"}
	if _, err := values.Set(ctx, key, []byte("mallory"), 0); err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), ""
	file, err := datafile.Open(ctx, filepath.Join(dir, "data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sanctions := sqlite.New(file)
	ban := moderation.Sanction{Tenant: "acme", User: "mallory", Kind: moderation.Ban, Rooms: moderation.AllRooms}
	if err := ban.Identify(); err != nil {
		t.Fatal(err)
	}
	if ban, err = sanctions.Set(ctx, ban); err != nil {
		t.Fatal(err)
	}
	for _, command := range shellOf(t, "../../examples/deploy/backup.md") {
		cmd := exec.CommandContext(ctx, "sh", "-euc", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "REDIS_URL=redis://"+server.Address())
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, text)
		}
		out += string(text)
	}
	if !strings.Contains(out, "moot:{kv:acme/gate}:v") {
		t.Errorf("the keys of the module are not listed:\n%s", out)
	}
	restored := redistest.Start(t, "--dir", dir, "--dbfilename", "moot.rdb", "--appendonly", "no")
	again := redis.NewClient(&redis.Options{Addr: restored.Address()})
	defer again.Close()
	copied := redisstore.New(again, "moot")
	defer copied.Close()
	if value, err := copied.Get(ctx, key); err != nil || string(value) != "mallory" {
		t.Errorf("the copy has %q, %v", value, err)
	}
	data := t.TempDir()
	if err := os.Rename(filepath.Join(dir, "moderation-backup.db"), filepath.Join(data, "moderation.db")); err != nil {
		t.Fatal(err)
	}
	kept, err := datafile.Open(ctx, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if page, _, err := sqlite.New(kept).List(ctx, "acme", moderation.Query{Limit: 9}); err != nil || len(page) != 1 || page[0] != ban {
		t.Errorf("the copy has the sanctions %+v, %v", page, err)
	}
}

// shellOf returns the sh blocks of a page.
func shellOf(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		commands = append(commands, m[1])
	}
	if len(commands) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return commands
}

// TestBackupNamesEveryKindOfKey checks that backup.md names all kinds of keys in the code.
func TestBackupNamesEveryKindOfKey(t *testing.T) {
	page, err := os.ReadFile("../../examples/deploy/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	for file, pattern := range map[string]string{
		"../cluster/redis/keys.go":        `(?m)^//\tmoot:\{[^}]+\}:(\w+)`,
		"../../host/store/redis/store.go": `base \+ "(\w+)"`,
		"../moderation/redis/store.go":    `(?m)^//\tmoot:\{[^}]+\}:(\w+)`,
		"../review/redis/store.go":        `(?m)^//\tmoot:\{[^}]+\}:(\w+)`,
		"../events/redis/store.go":        `(?m)^//\tmoot:\{[^}]+\}:(\w+)`,
	} {
		code, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(code), -1) {
			if !regexp.MustCompile(`:` + m[1] + `\b`).Match(page) {
				t.Errorf("backup.md does not name the keys %s of %s", m[1], file)
			}
			kinds++
		}
	}
	if kinds < 20 {
		t.Errorf("only %d kinds of keys were found", kinds)
	}
}
