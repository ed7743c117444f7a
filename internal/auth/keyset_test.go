package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const keyIssuer = "http://tests.example"

// deployment is a database of its own on which servers can be started.
type deployment struct {
	url  func(string) string
	ring *keyring.Keyring
	text []byte // of the ring
	conn *pgx.Conn
}

func newDeployment(t testing.TB) *deployment {
	t.Helper()
	d := &deployment{url: pgtest.Separate(t)}
	var err error
	if d.ring, d.text, err = keyring.New(); err != nil {
		t.Fatal(err)
	}
	if d.conn, err = pgx.Connect(context.Background(), d.url("postgres")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(context.Background()) })
	return d
}

// keyServer is what one server has of the keys.
type keyServer struct {
	*KeySet
	tokens *Tokens
}

func (d *deployment) db(t testing.TB) *postgres.DB {
	t.Helper()
	db, err := postgres.OpenControl(context.Background(), d.url("commonhold_control"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// server starts a server with pools of its own.
func (d *deployment) server(t testing.TB, ring *keyring.Keyring) *keyServer {
	t.Helper()
	keys, err := OpenKeys(context.Background(), d.db(t), ring, 0)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := keys.Tokens(keyIssuer, "commonhold")
	if err != nil {
		t.Fatal(err)
	}
	return &keyServer{keys, tokens}
}

// pass lets time pass for the stored keys: everything about them is that much longer ago.
func (d *deployment) pass(t testing.TB, time time.Duration) {
	t.Helper()
	_, err := d.conn.Exec(context.Background(), `update control.signing_keys set created_at = created_at - $1::interval, activates_at = activates_at - $1::interval,
		retires_at = retires_at - $1::interval, expires_at = expires_at - $1::interval`, time)
	if err != nil {
		t.Fatal(err)
	}
}

// private is the private half of a stored key.
func (d *deployment) private(t testing.TB, s *keyServer, id string) ed25519.PrivateKey {
	t.Helper()
	rows, err := s.store.db.Control().ListSigningKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.SigningKey.ID == id {
			private, err := s.store.open(&row.SigningKey)
			if err != nil || private == nil {
				t.Fatalf("the private half: %v", err)
			}
			return private
		}
	}
	t.Fatal("no such key")
	return nil
}

// whole holds what is stored against what must be so at every moment: one key without
// a successor, and a private half for every key that may have to sign.
func (d *deployment) whole(t testing.TB, what string) {
	t.Helper()
	if n := count(t, d.conn, `select count(*) from control.signing_keys where retires_at is null and private_key_sealed is not null`); n != 1 {
		t.Errorf("%s: %d keys have no successor", what, n)
	}
	if n := count(t, d.conn, `select count(*) from control.signing_keys where activates_at <= now() and (retires_at is null or retires_at > now()) and private_key_sealed is not null`); n != 1 {
		t.Errorf("%s: %d keys sign", what, n)
	}
}

func (s *keyServer) tended(t testing.TB) {
	t.Helper()
	if err := s.tend(context.Background()); err != nil {
		t.Errorf("tend: %v", err)
	}
}

func (s *keyServer) issue(t testing.TB) (token, kid string) {
	t.Helper()
	token, _, err := s.tokens.Issue(Claims{Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return token, kidOf(t, token)
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

func verifies(s *keyServer, token string) error {
	_, err := s.tokens.Verify(context.Background(), token)
	return err
}

// Two servers through a whole rotation: whoever signs, both accept, until the last
// token of the old key has expired. A third server, started at each step, stands for
// those that were killed there.
func TestRotationOnTwoServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	a, b := d.server(t, d.ring), d.server(t, d.ring)
	var good []string // tokens
	step := func(what string, signs func(kid string) bool) {
		t.Helper()
		d.whole(t, what)
		c := d.server(t, d.ring)
		for name, s := range map[string]*keyServer{"one": a, "the other": b, "a new one": c} {
			token, kid := s.issue(t)
			if !signs(kid) {
				t.Errorf("%s: %s signs with another key", what, name)
			}
			good = append(good, token)
		}
		for _, token := range good {
			for name, s := range map[string]*keyServer{"one": a, "the other": b, "a new one": c} {
				if err := verifies(s, token); err != nil {
					t.Errorf("%s: %s refuses: %v", what, name, err)
				}
			}
		}
	}
	_, old := a.issue(t)
	is := func(want string) func(string) bool { return func(kid string) bool { return kid == want } }
	step("before", is(old))
	next, made, err := a.store.Rotate(t.Context())
	if err != nil || !made || next.State != KeyPublished || next.ActivatesAt.Sub(next.CreatedAt) != keyLead {
		t.Fatalf("%+v, %v, %v", next, made, err)
	}
	step("published, and only one server can know", is(old))
	a.tended(t)
	step("published, and one server knows", is(old))
	if again, made, err := b.store.Rotate(t.Context()); err != nil || made || again.ID != next.ID {
		t.Errorf("rotating again: %+v, %v, %v", again, made, err)
	}
	d.pass(t, keyLead)
	a.tended(t)
	b.tended(t)
	step("the next signs", is(next.ID))
	if err := a.store.tidy(t.Context()); err != nil { // as for the sake of another key
		t.Error(err)
	}
	if n := count(t, d.conn, `select count(*) from control.signing_keys where id = $1 and private_key_sealed is not null`, old); n != 1 {
		t.Errorf("the old private half is gone while a server may still sign with it")
	}
	d.pass(t, keyGrace)
	b.tended(t)
	if n := count(t, d.conn, `select count(*) from control.signing_keys where id = $1 and private_key_sealed is null`, old); n != 1 {
		t.Errorf("the old private half stays")
	}
	a.tended(t)
	step("the old is erased", is(next.ID))
	d.pass(t, DefaultTokenLifetime)
	for _, s := range []*keyServer{b, a} {
		s.tended(t)
		s.tended(t) // twice is once
	}
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 1 {
		t.Errorf("%d keys are left", n)
	}
	var still []string
	for _, token := range good {
		if kidOf(t, token) == next.ID {
			still = append(still, token)
			continue
		}
		for _, s := range []*keyServer{a, b} {
			claims, err := s.tokens.Verify(t.Context(), token)
			refused(t, "after the end of the old key", token, notValid, claims, err)
		}
	}
	good = still
	step("after", is(next.ID))

	// Without waiting: what the one signs the other accepts at once, and the old keys
	// are worth nothing.
	replaced, deleted, unopened, err := a.store.Replace(t.Context())
	if err != nil || deleted != 1 || unopened != 0 {
		t.Fatalf("%+v, %d, %d, %v", replaced, deleted, unopened, err)
	}
	a.tended(t)
	token, kid := a.issue(t)
	if kid != replaced.ID {
		t.Error("the new key does not sign")
	}
	b.looked = time.Time{} // for the tokens above
	if err := verifies(b, token); err != nil {
		t.Errorf("the other server does not look for a key that it does not know: %v", err)
	}
	for _, token := range good {
		for _, s := range []*keyServer{a, b} {
			claims, err := s.tokens.Verify(t.Context(), token)
			refused(t, "of a key that leaked", token, notValid, claims, err)
		}
	}
	good = nil
	step("replaced", is(replaced.ID))
}

// However many do it at once, one key comes out of it.
func TestKeysAreMadeOnce(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	dbs := make([]*postgres.DB, 6)
	for i := range dbs {
		dbs[i] = d.db(t)
	}
	together := func(what string, do func(*postgres.DB) error) {
		t.Helper()
		var group sync.WaitGroup
		for _, db := range dbs {
			group.Go(func() {
				if err := do(db); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		group.Wait()
		d.whole(t, what)
	}
	open := func(db *postgres.DB) error { _, err := OpenKeys(t.Context(), db, d.ring, 0); return err }
	together("first starts", open)
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 1 {
		t.Errorf("%d first keys", n)
	}
	d.pass(t, DefaultKeyRotation-time.Minute)
	together("starts before the time", open)
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 1 {
		t.Errorf("%d keys a minute before the time", n)
	}
	d.pass(t, time.Minute)
	s := &KeySet{store: NewKeyStore(dbs[0], d.ring), every: DefaultKeyRotation}
	if err := s.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	together("rotation when it is time", func(db *postgres.DB) error {
		k := &KeySet{store: NewKeyStore(db, d.ring), every: DefaultKeyRotation}
		return k.tend(t.Context())
	})
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 2 {
		t.Errorf("%d keys when it is time for the next", n)
	}
	together("rotation by hand", func(db *postgres.DB) error { _, _, err := NewKeyStore(db, d.ring).Rotate(t.Context()); return err })
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 2 {
		t.Errorf("%d keys after the rotation", n)
	}
	together("rotation without waiting", func(db *postgres.DB) error {
		_, _, _, err := NewKeyStore(db, d.ring).Replace(t.Context())
		return err
	})
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 1 {
		t.Errorf("%d keys after replacing all", n)
	}
	// A rotation that is cut off leaves nothing of itself.
	cut := fmt.Errorf("cut off")
	err := dbs[0].InControlTx(t.Context(), func(q *controlsql.Queries) error {
		if _, err := NewKeyStore(dbs[0], d.ring).make(t.Context(), q, keyLead); err != nil {
			return err
		}
		return cut
	})
	if err != cut {
		t.Fatal(err)
	}
	d.whole(t, "cut off")
	for _, every := range []time.Duration{-1, time.Minute, 400 * 24 * time.Hour} {
		if _, err := OpenKeys(t.Context(), dbs[0], d.ring, every); !fault.Is(err, fault.Config) {
			t.Errorf("every %s: %v", every, err)
		}
	}
}

// Attacks that need several keys. Each is refused with the one answer, and none makes
// the server ask its database but for a name that a key could have, and then seldom.
func TestAttacksWithSeveralKeys(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	s := d.server(t, d.ring)
	_, deleted := s.issue(t)
	keys := map[string]ed25519.PrivateKey{deleted: d.private(t, s, deleted)}
	replaced, _, _, err := s.store.Replace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	retired := replaced.ID
	keys[retired] = d.private(t, s, retired)
	next, _, err := s.store.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	active := next.ID
	keys[active] = d.private(t, s, active)
	d.pass(t, keyLead)
	s.tended(t)

	now := time.Now().Unix()
	payload := fmt.Sprintf(`{"iss":"%s","aud":"commonhold","sub":"user_1","tid":"ten_1","sid":"ses_1","mep":1,"jti":"one","iat":%d,"exp":%d}`, keyIssuer, now, now+900)
	forged := func(kid, by string) string {
		text := b64(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+kid+`"}`) + "." + b64(payload)
		return text + "." + b64(string(ed25519.Sign(keys[by], []byte(text))))
	}
	for _, kid := range []string{retired, active} { // what is forged well is accepted
		if err := verifies(s, forged(kid, kid)); err != nil {
			t.Fatal(err)
		}
	}
	d.pass(t, DefaultTokenLifetime+keyGrace)
	early, _, err := s.store.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys[early.ID] = d.private(t, s, early.ID)
	s.mu.Lock()
	_, err = s.read(t.Context()) // without deleting the expired
	s.mu.Unlock()
	if err != nil || len(s.known.Load().keys) != 3 {
		t.Fatalf("%d keys, %v", len(s.known.Load().keys), err)
	}
	stranger, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	keys[stranger.ID] = stranger.Private

	list := map[string]string{
		"a key that has expired":                           forged(retired, retired),
		"a key that does not sign yet":                     forged(early.ID, early.ID),
		"a key that was deleted":                           forged(deleted, deleted),
		"a key of their own":                               forged(stranger.ID, stranger.ID),
		"a key of their own, called like ours":             forged(active, stranger.ID),
		"an expired key, called like the one that signs":   forged(active, retired),
		"the next key, called like the one that signs":     forged(active, early.ID),
		"a deleted key, called like the one that signs":    forged(active, deleted),
		"the key that signs, called like the expired":      forged(retired, active),
		"the key that signs, called like the next":         forged(early.ID, active),
		"the key that signs, called like the deleted":      forged(deleted, active),
		"the key that signs, called like nothing there is": forged(stranger.ID, active),
	}
	shapes := map[string]string{}
	for name, kid := range map[string]string{
		"SQL": `' or true --`, "SQL, as long as a kid": `'; delete from signing_keys where ''='     --`, "a path": `../../../../dev/null`, "a path, as long as a kid": strings.Repeat("../", 14) + "x",
		"a URL": `https://keys.example/jwks.json`, "nothing": ``, "a wildcard": `%`, "wildcards": strings.Repeat("_", 43), "a NUL": active + `\u0000`, "bits left over": active[:42] + nextLetter(active[42]),
		"two kids": active + "," + retired, "a line break": active[:21] + `\n` + active[21:], "4 KB": strings.Repeat("A", 2000),
	} {
		shapes["kid: "+name] = forged(kid, active)
	}
	asked := func(tokens map[string]string) int64 {
		ctx, counter := postgres.WithCounter(t.Context())
		for name, token := range tokens {
			claims, err := s.tokens.Verify(ctx, token)
			refused(t, name, token, notValid, claims, err)
		}
		return counter.Statements()
	}
	if n := asked(shapes); n != 0 { // 43 wildcards are no kid either: the last one has bits left over
		t.Errorf("%d statements for names that no key can have", n)
	}
	s.looked = time.Time{}
	begin := time.Now()
	if n, most := asked(list), 1+int64(time.Since(begin)/keyLook); n < 1 || n > most {
		t.Errorf("%d statements for names that a key could have, want 1 to %d", n, most)
	}
	if err := verifies(s, forged(active, active)); err != nil {
		t.Errorf("after the attacks: %v", err)
	}

	// A thousand names at once: one look.
	flood := make([]string, 1000)
	for i := range flood {
		flood[i] = forged(thumbprint(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16)), active)
	}
	s.looked = time.Time{}
	ctx, counter := postgres.WithCounter(t.Context())
	begin = time.Now()
	var group sync.WaitGroup
	for worker := range 20 {
		group.Go(func() {
			for i := worker; i < len(flood); i += 20 {
				if _, err := s.tokens.Verify(ctx, flood[i]); !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	group.Wait()
	if n, most := counter.Statements(), 1+int64(time.Since(begin)/keyLook); n < 1 || n > most {
		t.Errorf("%d statements for a thousand made-up names, want 1 to %d", n, most)
	}
	// Good tokens cost none.
	ctx, counter = postgres.WithCounter(t.Context())
	if _, err := s.tokens.Verify(ctx, forged(active, active)); err != nil || counter.RoundTrips() != 0 {
		t.Errorf("a good token: %v, %d round trips", err, counter.RoundTrips())
	}
}

func TestKeysAreSealed(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	s := d.server(t, d.ring)
	_, first := s.issue(t)
	private := d.private(t, s, first)
	var row string
	if err := d.conn.QueryRow(t.Context(), `select to_json(k)::text || encode(private_key_sealed, 'base64') || encode(private_key_sealed, 'escape') from control.signing_keys as k`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, fmt.Sprintf("%x", private.Seed()[:8])) || !strings.Contains(row, first) {
		t.Errorf("the private half can be read: %s", row)
	}
	parse := func(texts ...[]byte) *keyring.Keyring {
		ring, err := keyring.Parse(bytes.Join(texts, nil))
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	_, newer, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	db := d.db(t)
	wrong := parse(newer)
	refusedToOpen := func(what string, err error) {
		t.Helper()
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "on a line below") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = OpenKeys(t.Context(), db, wrong, 0)
	refusedToOpen("a server with another key", err)
	_, made, err := NewKeyStore(db, wrong).Rotate(t.Context())
	refusedToOpen("rotating with another key", err)
	_, _, err = NewKeyStore(db, wrong).Reseal(t.Context())
	refusedToOpen("resealing with another key", err)
	if n := count(t, d.conn, `select count(*) from control.signing_keys`); n != 1 || made {
		t.Errorf("%d keys", n)
	}

	// A server that has the older key alone goes on while somebody rotates with a newer
	// one, and accepts what the others sign.
	both := parse(newer, d.text)
	next, _, err := NewKeyStore(db, both).Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refusedToOpen("tending with the older key alone", s.tend(t.Context()))
	d.pass(t, keyLead)
	refusedToOpen("tending with the older key alone", s.tend(t.Context()))
	updated := d.server(t, both)
	byOld, kid := s.issue(t)
	byNew, newKid := updated.issue(t)
	if kid != first || newKid != next.ID {
		t.Errorf("signed by %s and %s", kid, newKid)
	}
	for _, server := range []*keyServer{s, updated} {
		for _, token := range []string{byOld, byNew} {
			if err := verifies(server, token); err != nil {
				t.Errorf("between two key-encryption keys: %v", err)
			}
		}
	}

	// To the newer key, and the older one is needed no more.
	for i, want := range [][2]int{{1, 1}, {0, 2}} {
		if resealed, kept, err := NewKeyStore(db, both).Reseal(t.Context()); err != nil || [2]int{resealed, kept} != want {
			t.Errorf("resealing, time %d: %d, %d, %v", i+1, resealed, kept, err)
		}
	}
	if err := verifies(d.server(t, wrong), byOld); err != nil {
		t.Error(err)
	}
	_, err = OpenKeys(t.Context(), db, d.ring, 0)
	refusedToOpen("the older key alone", err)

	// No row opens with the private half of another, or shows another public half.
	alter(t, d.conn, 2, `update control.signing_keys as k set private_key_sealed = o.private_key_sealed from control.signing_keys as o where o.id <> k.id`)
	_, err = OpenKeys(t.Context(), db, both, 0)
	refusedToOpen("exchanged private halves", err)
	alter(t, d.conn, 2, `update control.signing_keys set public_key = sha256(public_key)`)
	if _, err := OpenKeys(t.Context(), db, both, 0); err == nil {
		t.Error("a public half of another name is accepted")
	}

	// The key-encryption key is lost: all starts again.
	lost, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, deleted, unopened, err := NewKeyStore(db, lost).Replace(t.Context()); err != nil || deleted != 2 || unopened != 2 {
		t.Errorf("%d deleted, %d unopened, %v", deleted, unopened, err)
	}
	d.server(t, lost).issue(t)

	// Somebody empties the table: servers go on with what they know.
	alter(t, d.conn, 1, `delete from control.signing_keys`)
	if err := updated.tend(t.Context()); err == nil {
		t.Error("no word about an empty table")
	}
	if err := verifies(updated, byNew); err != nil {
		t.Error(err)
	}
}

// A copy of the key set that is kept as long as it may be holds every key that signs.
func TestKeysArePublishedInTime(t *testing.T) {
	t.Parallel()
	if jwksMaxAge+keyRefresh+clockLeeway+keyGrace > keyLead {
		t.Errorf("a key signs %s after it was published, but copies are good for %s", keyLead, jwksMaxAge)
	}
	if keyLead >= minKeyRotation {
		t.Error("a key would be retired before it signs")
	}
}
