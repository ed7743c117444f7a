package isolation_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
)

// The attacker has entered own; foreign is next door, and unknown is nobody. What
// stands in foreign's rows holds a marker, which must never come back.
var known = strings.NewReplacer(
	"{own}", "0190a000-0000-7000-8aaa-aaaaaaaaaaaa",
	"{foreign}", "0190b000-0000-7000-8bbb-bbbbbbbbbbbb",
	"{unknown}", "0190c000-0000-7000-8ccc-cccccccccccc",
	"{own category}", "01900000-0000-7000-8000-0000000000a1",
	"{foreign category}", "01900000-0000-7000-8000-0000000000b1",
	"{unknown category}", "01900000-0000-7000-8000-0000000000c1",
	"{own product}", "01900000-0000-7000-8000-0000000000a2",
	"{foreign product}", "01900000-0000-7000-8000-0000000000b2",
	"{unknown product}", "01900000-0000-7000-8000-0000000000c2",
	"{owner}", "01900000-0000-7000-8000-0000000000a3",
	"{foreign lock}", "8bbbbbbbbbbbbbbb",
)

// markers are in foreign's rows alone: a text, a number and the head of an id.
var markers = []string{"only-theirs", "777000777", "0ddba11"}

// entrances are the ways in. Every expression is tried behind each of them; what it
// comes to is written down for the first, a transaction that may write.
var entrances = []string{
	"select gate.enter_tenant('{own}', 1, false)",
	"select gate.enter_tenant('{own}', 1, true)",
	"select control.enter_tenant('{own}', false)",
}

// world are the rows of own and of foreign.
const world = `
	insert into control.tenants (id, slug, name, status, currency_code) values
		('{own}', 'own', 'Own', 'ACTIVE', 'EUR'), ('{foreign}', 'foreign', 'Only-Theirs', 'ACTIVE', 'EUR');
	insert into gate.tenant_doors (tenant_id, epoch) values ('{own}', 1), ('{foreign}', 1);
	insert into control.users (id, email, display_name) values
		('{owner}', 'owner@own.example', 'Owner'), ('0ddba11a-0000-7000-8000-000000000001', 'owner@only-theirs.example', 'Only-Theirs');
	insert into control.memberships (tenant_id, id, user_id, role) values
		('{own}', '{owner}', '{owner}', 'OWNER'),
		('{foreign}', '0ddba11a-0000-7000-8000-000000000002', '0ddba11a-0000-7000-8000-000000000001', 'OWNER');
	insert into shared.categories (tenant_id, id, name, created_by) values
		('{own}', '{own category}', 'Lamps', '{owner}'),
		('{foreign}', '{foreign category}', 'Only-Theirs', '0ddba11a-0000-7000-8000-000000000001');
	insert into shared.products (tenant_id, id, sku, name, price_minor, stock, category_id, created_by)
		select '{own}', case when n = 1 then '{own product}' else gen_random_uuid() end, 'OWN-' || n, 'Lamp ' || n, 100, 1, '{own category}', '{owner}'
		from generate_series(1, 3) as n;
	insert into shared.products (tenant_id, id, sku, name, description, price_minor, stock, category_id, created_by)
		select '{foreign}', case when n = 1 then '{foreign product}' else overlay(gen_random_uuid()::text placing '0ddba11a' from 1)::uuid end,
		       'FOREIGN-' || n, 'Only-Theirs', 'Only-Theirs', 777000777000777, 5, '{foreign category}', '0ddba11a-0000-7000-8000-000000000001'
		from generate_series(1, 40) as n;
	insert into shared.events (tenant_id, id, epoch, action, entity_id, request_id, data)
		select t, case t when '{foreign}' then '0ddba11a-0000-7000-8000-000000000003' else gen_random_uuid() end, 1, 'product.created', gen_random_uuid(), 'r',
		       jsonb_build_object('name', case t when '{foreign}' then 'Only-Theirs' else 'Lamp' end)
		from unnest(array['{own}', '{foreign}']::uuid[]) as t;
	alter table shared.products set (autovacuum_enabled = off); -- a vector reads how many there are
	analyze;
	-- What foreign has, and the walls around it, in one hash. It runs as its owner, so
	-- that it sees what the attacker has not committed yet.
	create schema watch;
	grant usage on schema watch to commonhold_app;
	create function watch.foreign_rows() returns text language plpgsql security definer set search_path = pg_catalog set timezone = 'UTC' as $$ begin
		return md5(concat_ws(' ',
			(select string_agg(x::text, ' ' order by x::text) from shared.products as x where x.tenant_id <> '{own}'),
			(select string_agg(x::text, ' ' order by x::text) from shared.categories as x where x.tenant_id <> '{own}'),
			(select string_agg(x::text, ' ' order by x::text) from shared.events as x where x.tenant_id <> '{own}'),
			(select string_agg(x::text, ' ' order by x::text) from control.memberships as x where x.tenant_id <> '{own}'),
			(select string_agg(x::text, ' ' order by x::text) from control.users as x where x.id <> '{owner}'),
			(select string_agg(x::text, ' ' order by x::text) from control.tenants as x),
			(select string_agg(x::text, ' ' order by x::text) from gate.tenant_doors as x),
			(select string_agg(x::text, ' ' order by x.oid) from pg_policy as x),
			(select string_agg(concat_ws(' ', x.relname, x.relkind, x.relrowsecurity, x.relforcerowsecurity), ' ' order by x.oid) from pg_class as x where x.oid >= 16384)));
	end $$;
	grant execute on function watch.foreign_rows() to commonhold_app`

// watched asks for that hash.
const watched = "select watch.foreign_rows()"

// session is one connection on which every message is of the extended protocol.
type session struct {
	conn *pgconn.PgConn
	name *strings.Replacer // of the database
	told strings.Builder   // answers, errors and notices
	rows int               // of the last answer
}

var databases atomic.Int64

// newDatabase makes a migrated database of a test's own on the test server.
func newDatabase(t *testing.T, name string) string {
	t.Helper()
	name = fmt.Sprint(name, databases.Add(1)) // for a test that runs more than once
	if err := postgres.CreateDatabase(t.Context(), pgtest.ServerURL(t, "postgres", "postgres"), name); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", name), nil); err != nil {
		t.Fatal(err)
	}
	return name
}

func connectTo(t *testing.T, role, database string) *session {
	t.Helper()
	s := &session{name: strings.NewReplacer("{database}", database)}
	config, err := pgconn.ParseConfig(pgtest.ServerURL(t, role, database))
	if err != nil {
		t.Fatal(err)
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		fmt.Fprintln(&s.told, n.Message, n.Detail, n.Hint, n.Where)
	}
	if s.conn, err = pgconn.ConnectConfig(t.Context(), config); err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })
	return s
}

// ask sends one statement. The answer is its rows, with | between columns and a
// comma between rows, or the command tag where there are none.
func (s *session) ask(ctx context.Context, sql string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(known.Replace(arg))
	}
	result := s.conn.ExecParams(ctx, s.name.Replace(known.Replace(sql)), values, nil, nil, nil).Read()
	if result.Err != nil {
		fmt.Fprintln(&s.told, words(result.Err))
		return "", result.Err
	}
	if s.rows = len(result.Rows); s.rows == 0 {
		return result.CommandTag.String(), nil
	}
	rows := make([]string, len(result.Rows))
	for i, cells := range result.Rows {
		texts := make([]string, len(cells))
		for j, cell := range cells {
			texts[j] = string(cell)
		}
		rows[i] = strings.Join(texts, "|")
	}
	answer := strings.Join(rows, ", ")
	fmt.Fprintln(&s.told, answer)
	return answer, nil
}

func (s *session) must(t *testing.T, sql string) string {
	t.Helper()
	answer, err := s.ask(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// script runs several statements, as only a test may.
func (s *session) script(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), s.name.Replace(known.Replace(sql))).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// state is the SQLSTATE of an error, "" of none, and the words of any other.
func state(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// words are all that an error tells.
func words(err error) string {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return strings.Join([]string{pg.Code, pg.Message, pg.Detail, pg.Hint, pg.Where, pg.SchemaName, pg.TableName, pg.ColumnName, pg.DataTypeName, pg.ConstraintName, pg.InternalQuery}, "|")
}

// siege is where the vectors are tried: a database of the test's own, with the
// attacker, and a neighbour who is at work in foreign all the time.
type siege struct {
	database                   string
	admin, attacker, neighbour *session
	before                     string // foreign's rows and the walls
}

func besiege(t *testing.T) *siege {
	t.Helper()
	g := &siege{database: newDatabase(t, "injection")}
	g.admin = connectTo(t, "postgres", g.database)
	g.admin.script(t, world)
	g.attacker = connectTo(t, "commonhold_app", g.database)
	return g
}

// moveIn lets the neighbour be at work in foreign, with its lock, as the handle is.
func (g *siege) moveIn(t *testing.T) {
	t.Helper()
	if g.neighbour == nil || g.neighbour.conn.IsClosed() {
		g.neighbour = connectTo(t, "commonhold_app", g.database)
		g.neighbour.must(t, "set idle_in_transaction_session_timeout = 0")
	}
	for _, sql := range []string{"begin read write", "select pg_advisory_xact_lock_shared(x'{foreign lock}'::bit(64)::bigint)", "select gate.enter_tenant('{foreign}', 1, false)"} {
		g.neighbour.must(t, sql)
	}
}

// outcome is what one try came to.
type outcome struct {
	answer string
	err    error
}

// attack tries a vector behind an entrance and rolls it back. The deviations are
// what went against the walls, whatever the table says of the outcome.
func (g *siege) attack(t *testing.T, v vector, entrance string) (o outcome, deviations []string) {
	t.Helper()
	deviate := func(format string, args ...any) {
		deviations = append(deviations, fmt.Sprintf(format, args...))
	}
	if g.attacker.conn.IsClosed() { // by what a weakness let through
		g.attacker = connectTo(t, "commonhold_app", g.database)
	}
	a := g.attacker
	a.told.Reset()
	a.must(t, "begin read write")
	if !v.outside {
		a.must(t, entrance)
	}
	if v.twin != "" {
		a.must(t, "savepoint twin")
		twin := a.try(t.Context(), v, v.twin)
		a.must(t, "rollback to savepoint twin")
		o = a.try(t.Context(), v, v.statements()...)
		if twin.answer != o.answer || words(twin.err) != words(o.err) {
			deviate("answered %q, %s, where an id that never was is answered %q, %s", o.answer, words(o.err), twin.answer, words(twin.err))
		}
	} else {
		o = a.try(t.Context(), v, v.statements()...)
	}
	if a.conn.TxStatus() == 'T' { // before it is rolled back
		if after, err := a.ask(t.Context(), watched); err != nil || after != g.before {
			deviate("foreign rows or walls were changed (%v)", err)
		}
	}
	if !a.conn.IsClosed() {
		a.must(t, "rollback")
		a.must(t, "discard all")
	}
	if after := g.admin.must(t, watched); after != g.before {
		deviate("foreign rows or walls are changed for good")
		g.before = after // the next vector is not to blame
	}
	if n, err := g.neighbour.ask(t.Context(), neighbourly, "Only-Theirs"); err != nil || n != "40" {
		deviate("the neighbour is disturbed: %s, %v", n, err)
		if g.neighbour.conn.IsClosed() {
			g.moveIn(t)
		}
	}
	if m := seen(a.told.String()); (m != "") != v.breach {
		deviate("foreign rows seen: %t (%q), want %t", m != "", m, v.breach)
	}
	return o, deviations
}

// try sends the statements of a vector until one fails.
func (s *session) try(ctx context.Context, v vector, statements ...string) (o outcome) {
	if v.each {
		o.answer, o.err = s.each(ctx, statements[0])
		return o
	}
	var args []string
	if v.expr != "" {
		args = []string{"{own}"}
	}
	for _, sql := range statements {
		if o.answer, o.err = s.ask(ctx, sql, args...); o.err != nil {
			break
		}
	}
	return o
}

// neighbourly is what the neighbour asks for, with a marker as its argument.
const neighbourly = "select count(*) from products where name = $1"

// seen is the first marker in what came back, plain or as bytes in hexadecimal.
func seen(told string) string {
	told = strings.ToLower(told)
	for _, m := range markers {
		if strings.Contains(told, m) || strings.Contains(told, hex.EncodeToString([]byte(m))) {
			return m
		}
	}
	return ""
}

// each runs a statement on every relation that the role may read and initdb did not
// make, and answers how many rows came in all.
func (s *session) each(ctx context.Context, sql string) (string, error) {
	relations, err := s.ask(ctx, `select c.oid::regclass from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
		where c.oid >= 16384 and n.nspname !~ '^pg_toast' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
		  and has_schema_privilege(n.oid, 'usage') and (has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))`)
	if err != nil {
		return "", err
	}
	rows := 0
	for relation := range strings.SplitSeq(relations, ", ") {
		if _, err := s.ask(ctx, strings.ReplaceAll(sql, "{relation}", relation)); err != nil {
			return "", err
		}
		rows += s.rows
	}
	return fmt.Sprint(rows, " rows"), nil
}

// run tries every vector and returns the deviations by name. A thorough run tries
// expressions behind every entrance.
func (g *siege) run(t *testing.T, thorough bool) map[string][]string {
	t.Helper()
	g.before = g.admin.must(t, watched)
	g.moveIn(t)
	found := make(map[string][]string)
	for _, v := range vectors {
		first, deviations := g.attack(t, v, entrances[0])
		if got := state(first.err); got != v.state && !slices.Contains(strings.Split(v.state, " or "), got) {
			deviations = append(deviations, fmt.Sprintf("SQLSTATE %q, want %q (%v)", got, v.state, first.err))
		} else if first.err == nil && !v.saws(first.answer) {
			deviations = append(deviations, fmt.Sprintf("saw %q, want %q", first.answer, v.saw))
		}
		if thorough && v.expr != "" {
			for _, entrance := range entrances[1:] {
				o, more := g.attack(t, v, entrance)
				// A transaction that is read-only may refuse more.
				if got := state(o.err); got != "25006" && (got != state(first.err) || o.answer != first.answer) {
					more = append(more, fmt.Sprintf("%q, %v", o.answer, o.err))
				}
				for _, d := range more {
					deviations = append(deviations, "behind "+entrance+": "+d)
				}
			}
		}
		if deviations != nil {
			found[v.name] = deviations
		}
	}
	g.neighbour.must(t, "rollback") // weaknesses are planted under locks
	return found
}

// What an expression or a statement of an attacker comes to, who is inside a tenant
// as the role of requests.
func TestInjection(t *testing.T) {
	t.Parallel()
	g := besiege(t)
	for name, deviations := range g.run(t, true) {
		for _, d := range deviations {
			t.Errorf("%s: %s", name, d)
		}
	}
	if t.Failed() {
		return // the weaknesses would only add to it
	}
	t.Logf("%d vectors\n%s", len(vectors), table())

	// The table must be able to fail: a weakness is planted, and the vectors that it
	// lets through are reported.
	var all []string
	for _, w := range weaknesses {
		g.admin.script(t, w.plant)
		found := g.run(t, false)
		for _, deviations := range found {
			all = append(all, deviations...)
		}
		for _, name := range w.caught {
			if found[name] == nil {
				t.Errorf("%s: the vector %q did not notice", w.name, name)
			}
		}
		t.Logf("%s: noticed by %q", w.name, slices.Sorted(maps.Keys(found)))
		g.admin.script(t, w.mend)
	}
	for _, kind := range []string{"foreign rows seen: true", "were changed", "changed for good", "an id that never was", "the neighbour is disturbed", "SQLSTATE", "saw"} {
		if !slices.ContainsFunc(all, func(d string) bool { return strings.Contains(d, kind) }) {
			t.Errorf("no weakness led to %q", kind)
		}
	}
	for name, deviations := range g.run(t, false) {
		t.Errorf("after the last weakness was mended: %s: %q", name, deviations)
	}
}

// The table itself keeps its rules.
func TestVectorsSayWhatHolds(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, v := range vectors {
		switch {
		case names[v.name]:
			t.Errorf("two vectors are called %q", v.name)
		case (v.expr == "") == (v.try == nil):
			t.Errorf("%s: an expression or statements", v.name)
		case v.state != "" && (v.stops == "" || v.instead != "" || v.saw != ""):
			t.Errorf("%s: what refuses it?", v.name)
		case v.state == "" && (v.instead == "" || v.stops != ""):
			t.Errorf("%s: it is let through: what holds instead?", v.name)
		case v.breach && v.expr != "":
			t.Errorf("%s: an expression must not see foreign rows", v.name)
		case seen(strings.Join(v.statements(), " ")) != "":
			t.Errorf("%s: its own text holds a marker", v.name)
		}
		names[v.name] = true
	}
	for _, w := range weaknesses {
		for _, name := range w.caught {
			if !names[name] {
				t.Errorf("%s: no vector is called %q", w.name, name)
			}
		}
	}
	if len(vectors) < 30 || len(weaknesses) < 6 {
		t.Errorf("%d vectors, %d weaknesses", len(vectors), len(weaknesses))
	}
}

// Whatever hardening takes away, a vector tries to use.
func TestEveryHardenedFunctionHasAVector(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(postgres.Files(), "bootstrap/3_hardening.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "for f in")
	list, _, _ = strings.Cut(list, "loop")
	var tried strings.Builder
	for _, v := range vectors {
		tried.WriteString(strings.Join(v.statements(), "\n"))
	}
	found := regexp.MustCompile(`'([a-z_\\]+)%?'`).FindAllStringSubmatch(list, -1)
	for _, m := range found {
		name := strings.ReplaceAll(m[1], `\`, "")
		if name != "pg_catalog" && !regexp.MustCompile(`\b`+name+`(\(|[a-z_]+\()`).MatchString(tried.String()) {
			t.Errorf("no vector calls %s", name)
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d names were found in it", len(found))
	}
}

// table is the list of vectors for the documents.
func table() string {
	var b strings.Builder
	b.WriteString("| vector | what happens | SQLSTATE | what stops it |\n|---|---|---|---|\n")
	for _, v := range vectors {
		happens, stops := "refused", v.stops
		switch {
		case v.breach:
			happens, stops = "**foreign rows are seen**", v.instead
		case v.state == "":
			happens, stops = "let through", v.instead
			if v.saw != "" && v.saw[0] != '~' {
				happens += ": `" + strings.ReplaceAll(known.Replace(v.saw), "|", `\|`) + "`"
			}
		}
		code := "–"
		if v.state != "" {
			code = "`" + v.state + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.name, happens, code, stops)
	}
	return b.String()
}

// The document holds the table as it is.
func TestDocumentsHoldTheVectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/injection.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), table()) {
		t.Error("docs/injection.md holds another table of vectors than TestInjection logs with -v: copy it from there")
	}
}
