package twoworlds

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/internal/tenant"
)

// world is a server of its own on a database of its own.
type world struct {
	db      *postgres.DB
	auth    *auth.Service
	handler http.Handler
	admin   *pgx.Conn // whom no policy binds
	at      time.Time // what the database's clock shows
}

const template = "two_worlds"

// worldClock gives a database the clock of the test. A function of the same name
// stands before PostgreSQL's own in the search path of the roles, so that the
// statements of queries/ find it; what was bound when a table was made, its
// defaults, is bound again.
const worldClock = `
	create schema chance;
	create table chance.clock (at timestamptz not null);
	insert into chance.clock values ('2030-01-01');
	create function chance.now() returns timestamptz stable language sql as 'select at from chance.clock';
	grant usage on schema chance to commonhold_app, commonhold_control;
	grant select on chance.clock to commonhold_app, commonhold_control;
	grant execute on function chance.now() to commonhold_app, commonhold_control;
	do $$
	declare
		bound record;
	begin
		for bound in
			select d.adrelid::regclass as of_table, a.attname
			from pg_attrdef as d join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
			where pg_get_expr(d.adbin, d.adrelid) = 'now()' and a.attname <> 'tstamp'
		loop
			execute format('alter table %s alter column %I set default chance.now()', bound.of_table, bound.attname);
		end loop;
		for bound in
			select s.setrole::regrole as who, substr(c, length('search_path=') + 1) as path
			from pg_db_role_setting as s
			join pg_database as d on d.oid = s.setdatabase and d.datname = current_database(), unnest(s.setconfig) as c
			where c like 'search_path=%'
		loop
			execute format('alter role %s in database %I set search_path = chance, pg_catalog, %s', bound.who, current_database(), bound.path);
		end loop;
	end $$`

var makeTemplate = sync.OnceValue(func() error {
	ctx := context.Background()
	if err := postgres.CreateDatabase(ctx, adminURL("postgres"), template); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, adminURL(template), nil); err != nil {
		return err
	}
	admin, err := pgx.Connect(ctx, adminURL(template))
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	_, err = admin.Exec(ctx, worldClock)
	return err
})

// adminURL is set by newWorld: the test server starts with the first test.
var adminURL func(database string) string

// cloneSettings gives a new database what belongs to a database and not into it.
const cloneSettings = `
	insert into pg_db_role_setting (setdatabase, setrole, setconfig)
	select new.oid, s.setrole, s.setconfig
	from pg_db_role_setting as s
	join pg_database as old on old.oid = s.setdatabase and old.datname = $1
	join pg_database as new on new.datname = $2`

// newWorld makes a world from another one, which nobody may be connected to. through is
// given the text of every statement on its way to the database, and may change it; nil
// changes none.
func newWorld(t testing.TB, name, from string, through func(string) string) *world {
	t.Helper()
	ctx := context.Background()
	adminURL = func(database string) string { return pgtest.ServerURL(t, "postgres", database) }
	if err := makeTemplate(); err != nil {
		t.Fatalf("make the template of both worlds: %v", err)
	}
	root, err := pgx.Connect(ctx, adminURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(ctx)
	if _, err := root.Exec(ctx, fmt.Sprintf("create database %s template %s", name, from)); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Exec(ctx, cloneSettings, from, name); err != nil {
		t.Fatal(err)
	}
	dsn := func(role string) string { return pgtest.ServerURL(t, role, name) }
	if through != nil {
		dsn = rewriting(t, dsn, through)
	}
	w := &world{}
	if w.admin, err = pgx.Connect(ctx, adminURL(name)); err != nil {
		t.Fatal(err)
	}
	w.db, err = postgres.Open(ctx, postgres.Config{AppURL: dsn("commonhold_app"), ControlURL: dsn("commonhold_control"), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	registry := control.NewRegistry(w.db)
	tokens, err := auth.NewTokens("http://tests.example", "commonhold", 0, chance.time, signingKey())
	if err != nil {
		t.Fatal(err)
	}
	w.auth = auth.NewService(w.db, registry, tokens, auth.NewPasswords(auth.TestPasswordParams()), ring())
	w.handler = server.New(server.Config{
		DB: w.db, Resolver: &graph.Resolver{DB: w.db, Auth: w.auth, LoaderWait: 100 * time.Microsecond},
		Limits: server.DefaultLimits(), Introspection: true, Version: "test",
	})
	return w
}

func (w *world) close() {
	w.db.Close()
	_ = w.admin.Close(context.Background())
}

// drop removes a world whose test is over.
func drop(t testing.TB, name string) {
	root, err := pgx.Connect(context.Background(), adminURL("postgres"))
	if err != nil {
		t.Error(err)
		return
	}
	defer root.Close(context.Background())
	if _, err := root.Exec(context.Background(), fmt.Sprintf("drop database %s with (force)", name)); err != nil {
		t.Error(err)
	}
}

// ring is the same in both worlds.
var ring = sync.OnceValue(func() *keyring.Keyring {
	k, err := keyring.Parse([]byte(base64.StdEncoding.EncodeToString(make([]byte, 32))))
	if err != nil {
		panic(err) // 32 bytes
	}
	return k
})

// signingKey is the same in every run, so that a seed gives the same tokens.
func signingKey() auth.SigningKey {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	encoded := base64.RawURLEncoding.EncodeToString
	name := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + encoded(private.Public().(ed25519.PublicKey)) + `"}`)) // RFC 7638
	return auth.SigningKey{ID: encoded(name[:]), Private: private}
}

// draw lets the process draw for the nth request of a world.
func (w *world) draw(t testing.TB, seed, n uint64, now time.Time) {
	t.Helper()
	chance.set(seed, n, now)
	if w.at.Equal(now) {
		return
	}
	if _, err := w.admin.Exec(context.Background(), "update chance.clock set at = $1", now); err != nil {
		t.Fatal(err)
	}
	w.at = now
}

// request is what goes to both worlds.
type request struct {
	get    bool
	accept string
	bearer string
	key    string // Idempotency-Key
	tenant string // X-Tenant-ID
	from   string // where it comes from, "" for where A does
	body   map[string]any
}

// answer is what a caller sees.
type answer struct {
	status int
	header http.Header
	body   []byte
	shown  string // all of it, to be compared
}

func (w *world) send(t testing.TB, r *request) answer {
	t.Helper()
	body, err := json.Marshal(r.body)
	if err != nil {
		t.Fatal(err)
	}
	asked := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
	if r.get {
		query := url.Values{}
		for name, value := range r.body {
			text, whole := value.(string)
			if !whole {
				encoded, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				text = string(encoded)
			}
			query.Set(name, text)
		}
		asked = httptest.NewRequest(http.MethodGet, "/graphql?"+query.Encode(), nil)
	}
	for name, value := range map[string]string{"Accept": r.accept, "Idempotency-Key": r.key, "X-Tenant-ID": r.tenant} {
		if value != "" {
			asked.Header.Set(name, value)
		}
	}
	asked.Header.Set("User-Agent", "the client of everybody")
	if !r.get {
		asked.Header.Set("Content-Type", "application/json")
	}
	if r.bearer != "" {
		asked.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	asked.RemoteAddr = cmp.Or(r.from, "192.0.2.1:1234")
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, asked)
	a := answer{status: recorder.Code, header: recorder.Header(), body: recorder.Body.Bytes()}
	var b strings.Builder
	fmt.Fprintln(&b, a.status)
	_ = a.header.Write(&b)
	b.Write(inOrder(a.header, a.body))
	a.shown = b.String()
	return a
}

// inOrder puts an answer in an order of its own. Fields fail side by side, and the
// parts of a deferred answer come as they are ready, several in one or each alone:
// which was first is not the tenant's doing. What is in them is compared to the byte.
func inOrder(header http.Header, body []byte) []byte {
	if !strings.HasPrefix(header.Get("Content-Type"), "multipart/") {
		return byPath(body)
	}
	var first []byte
	var later []string
	for _, part := range bytes.Split(body, []byte("\r\n---")) {
		_, text, _ := bytes.Cut(part, []byte("\r\n\r\n"))
		var chunk struct {
			Incremental []map[string]json.RawMessage
			Extensions  json.RawMessage
		}
		switch {
		case json.Unmarshal(text, &chunk) != nil: // what stands before the first and behind the last
			continue
		case first == nil:
			first = byPath(text)
			continue
		}
		for _, one := range chunk.Incremental {
			later = append(later, string(one["extensions"])) // the cost, with whichever came last
			delete(one, "extensions")
			later = append(later, string(members(one)))
		}
		later = append(later, string(chunk.Extensions))
	}
	slices.Sort(later)
	// Empty ones are of parts that held something else.
	return append(first, strings.Join(slices.Compact(later), "\n")...)
}

// byPath puts the errors of an answer in order.
func byPath(body []byte) []byte {
	var whole map[string]json.RawMessage
	if json.Unmarshal(body, &whole) != nil || whole["errors"] == nil {
		return body
	}
	return members(whole)
}

// members writes an object with its errors in order.
func members(whole map[string]json.RawMessage) []byte {
	var errs []json.RawMessage
	_ = json.Unmarshal(whole["errors"], &errs)
	slices.SortFunc(errs, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "errors %s\n", errs)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if name != "errors" {
			fmt.Fprintf(&b, "%s %s\n", name, whole[name])
		}
	}
	return b.Bytes()
}

// belongs says whose rows they are in the tables that have no tenant_id. $1 is a
// tenant. A new table of the platform gets its line, or the test says so.
var belongs = map[string]string{
	"control.plans":            "false",
	"control.tenants":          "id = $1",
	"control.users":            "id in (select user_id from control.memberships where tenant_id = $1)",
	"control.user_credentials": "user_id in (select user_id from control.memberships where tenant_id = $1)",
	"control.sign_in_tickets":  "user_id in (select user_id from control.memberships where tenant_id = $1)",
	"control.refresh_tokens":   "session_id in (select id from control.sessions where tenant_id = $1)",
	"control.mail_links":       "user_id in (select user_id from control.memberships where tenant_id = $1)",
	"control.registrations":    "email in (select u.email from control.users as u join control.memberships as m on m.user_id = u.id where m.tenant_id = $1)",
	// Mails, to somebody of the tenant; the other tables are of the workers.
	"control.river_job":          "case when args -> 'link' ->> 'purpose' = 'invitation' then args ->> 'tenant' in (select name from control.tenants where id = $1) else args ->> 'to' in (select u.email from control.users as u join control.memberships as m on m.user_id = u.id where m.tenant_id = $1) end",
	"control.river_leader":       "false",
	"control.river_notification": "false",
	"control.river_queue":        "false",
	"control.signing_keys":       "false",
}

// hashing makes the statement that hashes all tables: for each, the rows of tenant
// $1 and those of everybody else. Which tables there are the catalog says. Left out are
// the numbers of a transaction and of a job, which count what the server did and of which
// no request can read a job, and when a session or an API key was used last, which is noted where the
// server has to look who holds it: after how long it forgot is a matter of real time. Nor
// is what was tried in vain, of which nobody can tell whose it is: what comes of it the
// answers show.
func (w *world) hashing(t testing.TB) string {
	t.Helper()
	rows, err := w.admin.Query(context.Background(), `
		select n.nspname || '.' || c.relname as name,
		       bool_or(a.attname = 'tenant_id') as scoped,
		       coalesce(array_agg(a.attname::text) filter (where a.atttypid = 'xid8'::regtype
		           or c.relname = 'river_job' and a.attname = 'id' or c.relname in ('sessions', 'api_keys') and a.attname = 'last_used_at'), '{}') as apart
		from pg_class as c
		join pg_namespace as n on n.oid = c.relnamespace
		join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('control', 'gate', 'shared') and c.relname not in ('goose_db_version', 'attempts')
		group by 1 order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	var name string
	var scoped bool
	var apart []string
	_, err = pgx.ForEachRow(rows, []any{&name, &scoped, &apart}, func() error {
		of := "tenant_id = $1"
		if !scoped {
			if of = belongs[name]; of == "" {
				return fmt.Errorf("%s has no tenant_id: say in belongs whose rows they are", name)
			}
		}
		row := "to_jsonb(r)"
		if name == "control.river_job" { // that an address has an account is said to its owner alone
			row = `replace(to_jsonb(r)::text, '"invitation_to_account"', '"invitation"')::jsonb`
		}
		parts = append(parts, fmt.Sprintf(`
			select '%s' as name, %s as is_theirs, md5(string_agg(row, '' order by row)) || ' of ' || count(*) as hash
			from (select md5((%s - '{%s}'::text[])::text) as row, %s from %s as r) as hashed (row, is_theirs) group by 2`,
			name, "is_theirs", row, strings.Join(apart, ","), of, name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) < 15 {
		t.Fatalf("the catalog named only %d tables", len(parts))
	}
	return strings.Join(parts, " union all ")
}

// hash is the hash of each table's rows: those of a tenant, and all others.
func (w *world) hash(t testing.TB, hashing string, of tenant.ID) (theirs, others map[string]string) {
	t.Helper()
	rows, err := w.admin.Query(context.Background(), hashing, of)
	if err != nil {
		t.Fatal(err)
	}
	theirs, others = make(map[string]string), make(map[string]string)
	var name, hash string
	var isTheirs bool
	_, err = pgx.ForEachRow(rows, []any{&name, &isTheirs, &hash}, func() error {
		if isTheirs {
			theirs[name] = hash
		} else {
			others[name] = hash
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return theirs, others
}
