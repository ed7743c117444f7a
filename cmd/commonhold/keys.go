package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"Show every key that signs access tokens, or did until lately."`
	Rotate keysRotateCmd `cmd:"" help:"Make the next key that signs access tokens."`
	Reseal keysResealCmd `cmd:"" help:"Encrypt the stored keys with the newest key-encryption key."`
}

// controlDatabase says which control database is meant: that of serve, or that of a
// development machine.
type controlDatabase struct {
	ControlURL string `help:"Database URL that logs in as commonhold_control. Without it: the database of commonhold dev." placeholder:"URL" env:"COMMONHOLD_CONTROL_URL"`
	local      `embed:""`
}

// keyEncryption says what they are encrypted with.
type keyEncryption struct {
	KeyFile string `help:"File with the key that encrypts the secrets in the database. With commonhold dev: the one in its directory." name:"key-encryption-key" type:"path" placeholder:"FILE" env:"COMMONHOLD_KEY_ENCRYPTION_KEY"`
}

// open connects to the control database; done must be called.
func (d controlDatabase) open(ctx context.Context, con console) (db *postgres.DB, done func(), err error) {
	address, stop := d.ControlURL, func() {}
	if address == "" {
		if _, err := os.Stat(d.keyFile()); err != nil { // before a database is made for it
			return nil, nil, fault.New(fault.Config, "There is no database of commonhold dev in %s. Name another directory with --data, or the database of serve with --control-url or COMMONHOLD_CONTROL_URL.", d.Data)
		}
		u, err := d.local.open(ctx, con)
		if err != nil {
			return nil, nil, err
		}
		address, stop = u.control, u.stop
	}
	if db, err = postgres.OpenControl(ctx, address); err == nil {
		if err = db.CheckVersions(ctx); err != nil {
			db.Close()
		}
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return db, func() { db.Close(); stop() }, nil
}

// store is the key store of a database with its key-encryption key.
func (d controlDatabase) store(ctx context.Context, con console, e keyEncryption) (*auth.KeyStore, func(), error) {
	file := e.KeyFile
	switch {
	case file == "" && d.ControlURL != "":
		return nil, nil, fault.New(fault.Config, "The key-encryption key is missing: --key-encryption-key or COMMONHOLD_KEY_ENCRYPTION_KEY names its file, the one that serve uses.")
	case file == "":
		file = d.keyFile()
	}
	db, done, err := d.open(ctx, con)
	if err != nil {
		return nil, nil, err
	}
	ring, err := readKeyring(file)
	if err != nil {
		done()
		return nil, nil, err
	}
	return auth.NewKeyStore(db, ring), done, nil
}

type keysListCmd struct {
	JSON            bool `help:"JSON for scripts."`
	controlDatabase `embed:""`
}

func (k *keysListCmd) Run(ctx context.Context, con console) error {
	db, done, err := k.open(ctx, con)
	if err != nil {
		return err
	}
	defer done()
	keys, err := auth.NewKeyStore(db, nil).List(ctx)
	if err != nil {
		return err
	}
	if k.JSON {
		return json.NewEncoder(con.out).Encode(keys)
	}
	shown := table{con: con, columns: []column{
		{title: "KEY"}, {title: "STATE"}, {title: "MADE", spare: 1}, {title: "SIGNS FROM", spare: 2}, {title: "SIGNS UNTIL"}, {title: "ACCEPTED UNTIL"},
	}}
	rows := make([][]string, len(keys))
	for i, key := range keys {
		rows[i] = []string{key.ID, string(key.State), at(&key.CreatedAt), at(&key.ActivatesAt), at(key.RetiresAt), at(key.ExpiresAt)}
	}
	return shown.add(rows)
}

// at is a time in a table, - for none.
func at(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

type keysRotateCmd struct {
	Now             bool `help:"Do not wait: the new key signs at once and every other is deleted, so that front ends must refresh their sessions. For a key that leaked."`
	JSON            bool `help:"JSON for scripts."`
	controlDatabase `embed:""`
	keyEncryption   `embed:""`
}

func (k *keysRotateCmd) Run(ctx context.Context, con console) error {
	store, done, err := k.store(ctx, con, k.keyEncryption)
	if err != nil {
		return err
	}
	defer done()
	result := struct {
		Key     auth.KeyInfo `json:"key"`
		Made    bool         `json:"made"`
		Deleted int64        `json:"deleted"`
	}{Made: true}
	unopened := 0
	if k.Now {
		result.Key, result.Deleted, unopened, err = store.Replace(ctx)
	} else {
		result.Key, result.Made, err = store.Rotate(ctx)
	}
	if err != nil {
		return err
	}
	if unopened > 0 {
		con.say("%d of the keys that were there could not be opened with this key-encryption key. Give the servers this one, or they cannot use the new key either.", unopened)
	}
	if k.JSON {
		return json.NewEncoder(con.out).Encode(result)
	}
	switch {
	case k.Now:
		_, err = fmt.Fprintf(con.out, "%s signs now; %s deleted, and what they signed is refused by every server within 10 seconds\n", result.Key.ID, number(result.Deleted, "older key"))
	case !result.Made:
		_, err = fmt.Fprintf(con.out, "%s is on its way already: it signs from %s\n", result.Key.ID, at(&result.Key.ActivatesAt))
	default:
		_, err = fmt.Fprintf(con.out, "%s is published and signs from %s\n", result.Key.ID, at(&result.Key.ActivatesAt))
	}
	return err
}

type keysResealCmd struct {
	JSON            bool `help:"JSON for scripts."`
	controlDatabase `embed:""`
	keyEncryption   `embed:""`
}

func (k *keysResealCmd) Run(ctx context.Context, con console) error {
	store, done, err := k.store(ctx, con, k.keyEncryption)
	if err != nil {
		return err
	}
	defer done()
	resealed, kept, err := store.Reseal(ctx)
	if err != nil {
		return err
	}
	if k.JSON {
		return json.NewEncoder(con.out).Encode(map[string]int{"resealed": resealed, "unchanged": kept})
	}
	_, err = fmt.Fprintf(con.out, "%s sealed again; %d sealed with the newest key-encryption key before\n", number(int64(resealed), "signing key"), kept)
	return err
}

// number is a count of things: 1 key, 2 keys.
func number(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// readKeyring reads the file of the key-encryption key.
//
// Errors: fault.Config.
func readKeyring(file string) (*keyring.Keyring, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.Config, "The key-encryption key %s cannot be read.", file).Because(err)
	}
	return keyring.Parse(text)
}

// keyFile is where a development machine keeps its key-encryption key.
func (l local) keyFile() string { return filepath.Join(l.Data, "key-encryption-key") }

// keyring reads the key-encryption key of this data directory, and makes it the first
// time.
func (l local) keyring() (*keyring.Keyring, error) {
	file := l.keyFile()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		var fresh []byte
		if _, fresh, err = keyring.New(); err != nil {
			return nil, err
		}
		text, err = keepSecret(file, fresh)
	}
	if err != nil {
		return nil, fault.New(fault.DataDirectory, "%s cannot be read or written.", file).Because(err)
	}
	ring, err := keyring.Parse(text)
	if err != nil {
		return nil, fault.New(fault.DataDirectory, "%s is damaged. Bring back what it held; or delete it, start again, and `commonhold keys rotate --now` replaces the keys that it encrypted.", file).Because(err)
	}
	return ring, nil
}
