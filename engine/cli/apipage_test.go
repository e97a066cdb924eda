package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

const apiPage = "../../engine/api/README.md"

// TestRequestsOfTheAPIPage runs every curl command of the page about the server API against a
// server, in order. Each must succeed.
func TestRequestsOfTheAPIPage(t *testing.T) {
	const key = "the-key-of-the-api-page"
	dir := t.TempDir()
	programAt(t, dir)
	nodetest.Write(t, filepath.Join(dir, "moot.yaml"), "tenants: { default: { rooms: { starting: [defaultRoom, otherRoom, secure] } } }\n")
	run := startServer(t, dir, "./moot", "serve", "-c", "moot.yaml", "--set", "admin.key="+key,
		"--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--set", "drain=0s")
	answers := map[string]string{
		"/api/openapi.json":         `"openapi": ?"3\.1`,
		"/api/nodes":                `"nodes":\[\{`,
		"/rooms?limit=2'":           `"cursor":"`,
		"/rooms/lounge":             `"name":"lounge"`,
		"/rooms/lounge/messages":    `^{"id":"[0-9a-v]{24}"}\s*$`,
		"/api/reload":               `"revision":"`,
		"span=2h'":                  `"stepTime":30000`,
		"lounge/messages?limit=10'": `"kept":false`,
		"bob/messages?limit=10'":    `"messages":\[\]`,
		"desk?visit=a1b2c3'":        `^{`,
		"by=memory&top=3'":          `"memory":\{"limit":[1-9]`,
		"/sanctions":                `"user":"bob","kind":"mute"`,
		"/sanctions?user=bob'":      `"reason":"be kind"`,
		"/users/bob":                `"rooms":\[\],"sanctions":\[\{`,
		"/users/bob/messages":       `"connections":0`,
		"/users/bob/connections":    `"connections":0`,
	}
	requests := 0
	for _, s := range snippetsOf(t, apiPage) {
		if s.language != "sh" {
			continue
		}
		for line := range strings.Lines(s.text) {
			curl := exec.Command("sh", "-c", strings.ReplaceAll(strings.Replace(line, "curl -s", "curl -sS --fail-with-body", 1), "127.0.0.1:9090", run.Admin))
			curl.Env = append(os.Environ(), "MOOT_ADMIN_KEY="+key)
			out, err := curl.CombinedOutput()
			if err != nil {
				t.Errorf("%s%v\n%s", line, err, out)
				continue
			}
			for path, want := range answers {
				if strings.HasSuffix(strings.TrimSpace(line), path) && !regexp.MustCompile(want).Match(bytes.TrimSpace(out)) {
					t.Errorf("%sanswered %s, want %s", line, out, want)
				}
			}
			requests++
		}
	}
	if requests != len(answers) {
		t.Errorf("the page has %d requests, expected %d", requests, len(answers))
	}
	run.Stop(t)
}

// TestErrorsOfTheAPIPage checks that the error codes on the page about the server API are those
// of package api, and that the JSON on the page is valid.
func TestErrorsOfTheAPIPage(t *testing.T) {
	source, err := os.ReadFile("../api/fault.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	_, errors, _ := strings.Cut(string(page), "\n## Errors\n")
	errors, _, _ = strings.Cut(errors, "\n## ")
	var codes, described []string
	for _, m := range regexp.MustCompile(`(?m)^\tCode\w+ += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		codes = append(codes, m[1])
	}
	for _, row := range regexp.MustCompile(`(?m)^\| \d.*$`).FindAllString(errors, -1) {
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row, -1) {
			if m[1] != "message" {
				described = append(described, m[1])
			}
		}
	}
	slices.Sort(codes)
	slices.Sort(described)
	if len(codes) == 0 || !slices.Equal(codes, described) {
		t.Errorf("the page describes the codes %v, and package api has %v", described, codes)
	}
	for _, s := range snippetsOf(t, apiPage) {
		if s.language == "json" && !json.Valid([]byte(s.text)) {
			t.Errorf("not JSON: %s", s.text)
		}
	}
}
