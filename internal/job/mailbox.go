package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Mailbox takes every message on a development machine, whoever it is to: a directory
// with a file of RFC 5322 for each, as any mail program opens it. Processes may share
// one.
type Mailbox struct{ dir string }

// keptMails is how many a mailbox holds; older ones are deleted.
const keptMails = 200

// OpenMailbox makes the directory where there is none.
func OpenMailbox(dir string) (*Mailbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the mailbox: %w", err)
	}
	return &Mailbox{dir}, nil
}

// Deliver keeps the message. One that comes a second time takes the place of the
// first, as with a mail program that knows its Message-ID.
func (b *Mailbox) Deliver(_ context.Context, m *Message) error {
	raw, err := m.Bytes()
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(m.ID, "@")
	name := m.Date.UTC().Format("20060102-150405.000000") + "-" + id
	if !mailName.MatchString(name) {
		return errors.New("the mail has no name that a file can have")
	}
	// Whole or not at all: somebody may be reading.
	f, err := os.CreateTemp(b.dir, "new")
	if err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), b.file(name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep a mail: %w", err)
	}
	names, err := b.names()
	for _, old := range names[min(keptMails, len(names)):] {
		_ = os.Remove(b.file(old)) // another process may have done it
	}
	return err
}

// mailName is the name of a mail: when it was caused, and the random part of its
// Message-ID.
var mailName = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}\.[0-9]{6}-[0-9a-f-]{36}$`)

func (b *Mailbox) file(name string) string { return filepath.Join(b.dir, name+".eml") }

// names lists the mails, the newest first.
func (b *Mailbox) names() ([]string, error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, fmt.Errorf("read the mailbox: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".eml"); ok && mailName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	return names, nil
}

// Kept is a message of a mailbox as it is read again.
type Kept struct {
	Name              string // in the mailbox
	Date              time.Time
	From, To, Subject string
	Text, HTML        string
	Raw               []byte
}

// List reads all mails, the newest first.
func (b *Mailbox) List() ([]*Kept, error) {
	names, err := b.names()
	if err != nil {
		return nil, err
	}
	all := make([]*Kept, 0, len(names))
	for _, name := range names {
		m, err := b.Read(name)
		if errors.Is(err, fs.ErrNotExist) { // deleted since
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Read reads one mail.
//
// Errors: fs.ErrNotExist for a name that none has.
func (b *Mailbox) Read(name string) (*Kept, error) {
	if !mailName.MatchString(name) {
		return nil, fs.ErrNotExist
	}
	raw, err := os.ReadFile(b.file(name))
	if err != nil {
		return nil, err
	}
	message, err := gomail.EMLToMsgFromString(string(raw))
	if err != nil {
		return nil, fmt.Errorf("read mail %s: %w", name, err)
	}
	m := &Kept{Name: name, Raw: raw, From: strings.Join(message.GetFromString(), ", ")}
	for _, to := range message.GetTo() {
		m.To = to.Address
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(strings.Join(message.GetGenHeader(gomail.HeaderSubject), " ")); err != nil {
		return nil, fmt.Errorf("read mail %s: %w", name, err)
	}
	m.Date, _ = time.Parse(time.RFC1123Z, strings.Join(message.GetGenHeader(gomail.HeaderDate), "")) // ours
	for _, part := range message.GetParts() {
		content, err := part.GetContent()
		if err != nil {
			return nil, fmt.Errorf("read mail %s: %w", name, err)
		}
		switch part.GetContentType() {
		case gomail.TypeTextPlain:
			m.Text = strings.ReplaceAll(string(content), "\r\n", "\n")
		case gomail.TypeTextHTML:
			m.HTML = strings.ReplaceAll(string(content), "\r\n", "\n")
		}
	}
	return m, nil
}
