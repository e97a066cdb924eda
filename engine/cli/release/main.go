// Command release builds an archive for each platform with the program, the rules and the configuration. It writes
// SHA256SUMS beside the archives. make release runs it at the top of the repository.
//
// The same commit and version of Go give the same bytes on every machine.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	r := release{}
	platforms := ""
	flag.StringVar(&r.version, "version", "", "`VERSION`, such as v1.2.3; default: git describe")
	flag.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "`OS/ARCH,...`")
	flag.StringVar(&r.out, "out", "build/release", "`FOLDER`, which is emptied first")
	flag.Parse()
	if err := r.run(strings.Split(platforms, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release has the properties of all archives.
type release struct {
	version, out string
	at           time.Time // of every file
	files        []string  // besides the program
}

var versions = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

func (r *release) run(platforms []string) (err error) {
	if r.version == "" {
		if r.version, err = command("git", "describe", "--tags", "--always", "--dirty"); err != nil {
			return err
		}
	}
	if !versions.MatchString(r.version) {
		return fmt.Errorf("%q is not a version such as v1.2.3", r.version)
	}
	if r.at, err = commitTime(); err != nil {
		return err
	}
	if r.files, err = contents(); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	sums := ""
	for _, p := range platforms {
		line, err := r.build(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		fmt.Print(line)
		sums += line
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums), 0o644)
}

// build writes the archive of a platform and returns its line of SHA256SUMS.
func (r *release) build(platform string) (string, error) {
	system, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return "", fmt.Errorf("a platform must be OS/ARCH")
	}
	name := "moot-" + r.version + "-" + system + "-" + arch
	program, pack, ending := "moot", tarball, ".tar.gz"
	if system == "windows" {
		program, pack, ending = "moot.exe", zipped, ".zip"
	}
	work, err := os.MkdirTemp("", "moot-release")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, program)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/mootchat/moot/engine/cli.release="+r.version, "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	files := []file{{name + "/" + program, binary, 0o755}}
	for i, f := range r.files {
		from := f
		if strings.HasSuffix(f, ".md") {
			from = filepath.Join(work, strconv.Itoa(i)+".md")
			if err := r.page(f, from); err != nil {
				return "", err
			}
		}
		files = append(files, file{name + "/" + f, from, 0o644})
	}
	packed, err := pack(files, r.at)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%x  %s\n", sha256.Sum256(packed), name+ending)
	return line, os.WriteFile(filepath.Join(r.out, name+ending), packed, 0o644)
}

var links = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)\s]*)?\)`)

// page writes a copy of a page in which the links to files that are not in the archive lead to the repository.
func (r *release) page(path, to string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text = links.ReplaceAllFunc(text, func(link []byte) []byte {
		m := links.FindSubmatch(link)
		target := filepath.ToSlash(filepath.Join(filepath.Dir(path), string(m[1])))
		if slices.ContainsFunc(r.files, func(f string) bool { return f == target || strings.HasPrefix(f, target+"/") }) {
			return link
		}
		return fmt.Appendf(nil, "](https://github.com/mootchat/moot/tree/%s/%s%s)", r.version, target, m[2])
	})
	return os.WriteFile(to, text, 0o600)
}

// contents returns the files of an archive besides the program. The ready-made rules are in the program too; the archive has
// their modules for other hosts of the ABI.
func contents() (files []string, err error) {
	if _, err := os.Stat("guests/builtin/SHA256SUMS"); err != nil {
		return nil, fmt.Errorf("run `make release` at the top of the repository: %w", err)
	}
	for _, pattern := range []string{"README.md", "CHANGELOG.md", "LICENSE", "config.yaml", "rule.js", "guests/README.md", "guests/builtin/*.wasm", "guests/builtin/SHA256SUMS",
		"guests/*/*.js", "guests/*/*.ts", "guests/*/*.lua", "guests/*/README.md", "examples/deploy/*"} {
		found, _ := filepath.Glob(pattern) // sorted by name
		files = append(files, found...)
	}
	return files, nil
}

// commitTime returns SOURCE_DATE_EPOCH, or the time of the commit if it is not set.
func commitTime() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = command("git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("%w; without git, set SOURCE_DATE_EPOCH", err)
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH must be seconds since 1970: %q", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
