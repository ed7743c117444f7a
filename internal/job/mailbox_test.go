package job_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/job"
)

// What a mailbox keeps it gives back as it was; a message that comes twice is there
// once; the newest is the first, and the oldest go.
func TestMailbox(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	b, err := job.OpenMailbox(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range every(t) {
		m.To, m.Tenant = "ada@customer.example", `Größe <株式会社> "&"`
		message, err := job.Render(config(t), uuid.New(), m, created.Add(time.Duration(i)*time.Microsecond))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Deliver(t.Context(), message); err != nil {
				t.Fatal(err)
			}
		}
		all, err := b.List()
		if err != nil || len(all) != i+1 {
			t.Fatalf("%d mails: %v", len(all), err)
		}
		got := all[0]
		want := &job.Kept{
			Name: got.Name, Raw: got.Raw, Date: created, From: `"Commonhold" <no-reply@commonhold.example>`, To: "ada@customer.example",
			Subject: message.Subject, Text: message.Text, HTML: message.HTML,
		}
		got.Date = got.Date.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", m.Template, diff)
		}
		if p := read(t, got.Raw); p.text != message.Text || p.html != message.HTML {
			t.Errorf("%s: another program reads %s", m.Template, got.Raw)
		}
	}
	for range 250 {
		message := render(t, every(t)[0])
		message.ID = uuid.NewString() + "@x.example"
		message.Date = time.Now()
		if err := b.Deliver(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.List()
	if err != nil || len(all) != 200 {
		t.Errorf("%d mails are kept: %v", len(all), err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 200 {
		t.Errorf("%d files are kept", len(files))
	}
}

// The name of a mail comes from an address bar.
func TestMailboxReadsNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := job.OpenMailbox(filepath.Join(dir, "mail"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"secret.eml", "mail/other.eml"} {
		if err := os.WriteFile(filepath.Join(dir, file), bytes.Repeat([]byte("x"), 10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", "../secret", "other", "20260301-120000.000000-../../secret", "/etc/passwd", "20260301-120000.000000-00000000-0000-0000-0000-000000000000"} {
		if m, err := b.Read(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v, %v", name, m, err)
		}
	}
	if all, err := b.List(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
