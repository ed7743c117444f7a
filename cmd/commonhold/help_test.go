package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// commands are the leaves of the command line by their path, such as "tenant list".
func commands(t testing.TB) map[string]*kong.Node {
	t.Helper()
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*kong.Node)
	for _, leaf := range parser.Model.Leaves(true) {
		found[strings.TrimPrefix(leaf.FullPath(), "commonhold ")] = leaf
	}
	return found
}

// words is text without its line breaks, which help puts anywhere.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	help := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), append(args, "--help"), &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
			t.Errorf("%q --help: exit status %d, %s", args, code, &stderr)
		}
		return words(stdout.String())
	}
	all := commands(t)
	if len(all) < 5 {
		t.Fatalf("%d commands", len(all))
	}
	top := help()
	for path, command := range all {
		if command.Help == "" || !strings.Contains(top, words(command.Help)) {
			t.Errorf("the help does not explain %s", path)
		}
		said := help(strings.Fields(path)...)
		for _, flag := range command.Flags {
			if flag.Help == "" || !strings.HasSuffix(flag.Help, ".") {
				t.Errorf("%s --%s is not explained in a sentence", path, flag.Name)
			}
			wanted := append([]string{"--" + flag.Name, words(flag.Help)}, flag.Envs...)
			if flag.Default != "" && flag.Name != "data" { // a long path is broken anywhere
				wanted = append(wanted, "default "+flag.Default)
			}
			for _, w := range wanted {
				if !strings.Contains(said, w) {
					t.Errorf("%s --help does not say %q:\n%s", path, w, said)
				}
			}
		}
	}
}

var (
	// mention is a command line in prose or code, up to its end.
	mention = regexp.MustCompile("(?:\\bcommonhold|go run \\./cmd/commonhold) ([a-z]+)((?:\\\\\\n|[^\\n`;|&)])*)")
	// word is the second word of a command.
	word = regexp.MustCompile(`^ [a-z][a-z-]*`)
	// flag is a flag in it.
	flag = regexp.MustCompile(`(?:^|[\s\x60\[|(])--([a-z][a-z-]*)`)
	// alone is a flag in code, without its command.
	alone = regexp.MustCompile("`--([a-z][a-z-]*)[^`]*`")
	// code is what readers copy: blocks and spans.
	code = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
)

// wrong lists what a text says of the command line that is not so.
func wrong(text string, all map[string]*kong.Node) (found []string) {
	for _, block := range code.FindAllString(text, -1) {
		for _, m := range mention.FindAllStringSubmatch(block, -1) {
			name := m[1]
			if second := word.FindString(m[2]); all[name] == nil && second != "" { // such as "keys list"
				name += second
			}
			command, ok := all[name]
			if !ok {
				found = append(found, "no command "+name)
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
				if !slices.ContainsFunc(command.Flags, func(known *kong.Flag) bool { return known.Name == f[1] }) {
					found = append(found, name+" has no --"+f[1])
				}
			}
		}
	}
	for _, f := range alone.FindAllStringSubmatch(text, -1) {
		known := f[1] == "help"
		for _, command := range all {
			known = known || slices.ContainsFunc(command.Flags, func(k *kong.Flag) bool { return k.Name == f[1] })
		}
		if !known {
			found = append(found, "no command has --"+f[1])
		}
	}
	return found
}

func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	all := commands(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"go run ./cmd/commonhold dev", "go test ./..."} {
		if !regexp.MustCompile("(?m)^" + regexp.QuoteMeta(line) + "$").Match(readme) {
			t.Errorf("README.md has no line %q to copy", line)
		}
	}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(docs, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, w := range wrong(string(text), all) {
			t.Errorf("%s: %s", filepath.Base(file), w)
		}
	}
}

// What the test above is there for, planted.
func TestWrongMentionsAreFound(t *testing.T) {
	t.Parallel()
	all := commands(t)
	for text, want := range map[string]string{
		"```sh\ncommonhold serve --addr x \\\n  --frob y\n```":         "serve has no --frob",
		"`commonhold frobnicate`":                                      "no command frobnicate",
		"`commonhold keys frobnicate --now`":                           "no command keys frobnicate",
		"`commonhold keys rotate --now` and `commonhold keys list`":    "",
		"`commonhold keys list --now`":                                 "keys list has no --now",
		"`commonhold tenant read-only acme --frob`":                    "tenant read-only has no --frob",
		"```sh\ngo run ./cmd/commonhold dev --tenants 3\n```":          "dev has no --tenants",
		"the flag `--frob` does it":                                    "no command has --frob",
		"`commonhold migrate --status --dry-run --json` and `--help`.": "",
		"the commonhold serves":                                        "",
	} {
		if found := strings.Join(wrong(text, all), "; "); found != want {
			t.Errorf("%q: %q, expected %q", text, found, want)
		}
	}
}
