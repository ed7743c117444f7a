package textproof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commonhold/commonhold/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The proof is held against PostgreSQL: a proven statement, run past row-level
// security on rows of two tenants whose every other key is the same, answers and
// changes what it does when the second tenant has no rows at all, and leaves the
// second's rows as they were.

const (
	tenantA = "00000000-0000-0000-0000-00000000000a"
	tenantB = "00000000-0000-0000-0000-00000000000b"
)

// rowsOfTwo fills the tables of both sets, past foreign keys and policies.
const rowsOfTwo = `
set local session_replication_role = replica;
do $$ -- the arguments are of the right types, and no more
declare c record;
begin
    for c in select conrelid::regclass as of, conname from pg_constraint where contype = 'c' and connamespace in ('shared'::regnamespace, 'control'::regnamespace) loop
        execute format('alter table %s drop constraint %I', c.of, c.conname);
    end loop;
end $$;
delete from shared.categories; delete from shared.products; delete from shared.events; delete from control.memberships; delete from control.users;
create temp table sides (tenant uuid, side integer) on commit drop;
insert into sides values ('` + tenantA + `', 1), ('` + tenantB + `', 2);
insert into shared.categories (tenant_id, id, parent_id, name, created_by, created_at)
select tenant, numbered(n), case when n > 1 then numbered(n - side) end, 'name ' || n * side, numbered(n), timestamptz '2020-01-01' + n * side * interval '1 hour'
from sides, generate_series(1, 3) as n;
insert into shared.products (tenant_id, id, sku, name, description, price_minor, stock, category_id, created_by, created_at)
select tenant, numbered(n), 'sku ' || n, 'name ' || n, 'text ' || side, n * side, n % 3, case when n < 4 then numbered(n % 3 + 1) end, numbered(n), timestamptz '2020-01-01' + n * side * interval '1 hour'
from sides, generate_series(1, 4) as n;
insert into shared.events (tenant_id, id, epoch, actor_id, action, entity_id, request_id, data, occurred_at)
select tenant, numbered(n), 1, numbered(n), 'a.b', numbered(n % 3 + side), 'r', '{}', timestamptz '2020-01-01' + n * side * interval '1 hour'
from sides, generate_series(1, 3) as n;
insert into control.memberships (tenant_id, id, user_id, role, created_at)
select tenant, numbered(n), numbered(n + side), 'MEMBER', timestamptz '2020-01-01' + n * side * interval '1 hour'
from sides, generate_series(1, 3) as n;
insert into control.users (id, email, display_name, created_at)
select numbered(n), n || '@people.example', 'Person ' || n, timestamptz '2020-01-01' from generate_series(1, 6) as n;
`

// forgetB takes the second tenant's rows away, and the people that only it knows.
const forgetB = `
delete from shared.categories where tenant_id = '` + tenantB + `'; delete from shared.products where tenant_id = '` + tenantB + `';
delete from shared.events where tenant_id = '` + tenantB + `'; delete from control.memberships where tenant_id = '` + tenantB + `';
delete from control.users as u where not exists (select from control.memberships as m where m.user_id = u.id);
`

type twoTenants struct {
	conn   *pgx.Conn
	schema string
}

// openTwo begins a transaction that is never committed.
func openTwo(t *testing.T) *twoTenants {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	w := &twoTenants{conn: conn}
	w.run(t, `begin; set local statement_timeout = '5s'; set local app.epoch = '1'; create function pg_temp.numbered(n integer) returns uuid language sql return ('00000000-0000-0000-0000-0000000001' || lpad(n::text, 2, '0'))::uuid;`)
	w.run(t, strings.ReplaceAll(rowsOfTwo, "numbered(", "pg_temp.numbered("))
	return w
}

// use chooses the schema that a set of queries meets.
func (w *twoTenants) use(t *testing.T, schema string) {
	t.Helper()
	w.schema = schema
	w.run(t, "set local search_path = "+schema)
}

func (w *twoTenants) run(t *testing.T, sql string) {
	t.Helper()
	if _, err := w.conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// argument is a value for $n that meets rows of both tenants, or, of ids, a fresh one.
func argument(oid uint32, n int, fresh bool) string {
	const id = "00000000-0000-0000-0000-0000000001"
	switch oid {
	case 16: // boolean
		return "true"
	case 20, 21, 23, 1700: // numbers
		return "4"
	case 1082: // date
		return "2020-01-01"
	case 1184: // timestamptz
		return "2020-01-01T03:00:00Z"
	case 2950: // uuid
		if fresh {
			return id + strconv.Itoa(20+n)
		}
		return id + "02"
	case 2951: // uuid[]
		if fresh {
			return "{" + id + "51," + id + "52," + id + "53}"
		}
		return "{" + id + "01," + id + "02," + id + "07}"
	case 1005, 1007, 1016: // arrays of numbers
		return "{1,2,3}"
	case 1000: // boolean[]
		return "{true,false,true}"
	case 3807: // jsonb[]
		return `{"{}","{}","{}"}`
	case 1009: // text[]
		return "{name 1,name 2,sku 9}"
	case 1185: // timestamptz[]
		return "{2020-01-01T03:00:00Z,2020-01-01T04:00:00Z,2020-01-01T05:00:00Z}"
	case 3802: // jsonb
		return "{}"
	}
	return "name 2"
}

// outcome is what a statement answers and what it leaves of each tenant; all of it
// sorted, since not all statements have an order.
type outcome struct{ answer, a, b string }

// try runs a statement as the tenant and undoes it.
func (w *twoTenants) try(t *testing.T, sql string, tenant int, fresh bool, before string) (o outcome, err error) {
	t.Helper()
	w.run(t, "savepoint before; "+before)
	defer w.run(t, "rollback to before")
	prepared, err := w.conn.PgConn().Prepare(t.Context(), "", sql, nil)
	if err != nil {
		return o, err
	}
	var args [][]byte
	for i, oid := range prepared.ParamOIDs {
		if i+1 == tenant {
			args = append(args, []byte(tenantA))
		} else {
			args = append(args, []byte(argument(oid, i+1, fresh)))
		}
	}
	result := w.conn.PgConn().ExecPrepared(t.Context(), "", args, nil, nil).Read()
	if result.Err != nil {
		return o, result.Err
	}
	var rows []string
	for _, row := range result.Rows {
		rows = append(rows, fmt.Sprintf("%q", row))
	}
	slices.Sort(rows)
	o.answer = result.CommandTag.String() + "\n" + strings.Join(rows, "\n")
	if strings.Contains(sql, "insert") || strings.Contains(sql, "update ") || strings.Contains(sql, "delete") {
		o.a, o.b = w.dump(t, tenantA), w.dump(t, tenantB)
	}
	return o, nil
}

func (w *twoTenants) dump(t *testing.T, tenant string) string {
	t.Helper()
	tables := []string{"categories", "products", "events"}
	if w.schema == "control" {
		tables = []string{"memberships"}
	}
	var all []string
	for _, table := range tables {
		result := w.conn.PgConn().ExecParams(t.Context(), "select coalesce(string_agg(r::text, e'\\n' order by r.id), '') from "+table+" as r where tenant_id = $1",
			[][]byte{[]byte(tenant)}, nil, nil, nil).Read()
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		all = append(all, string(result.Rows[0][0]))
	}
	return strings.Join(all, "\n\n")
}

// interferes tells whether the second tenant's rows make a difference to a statement,
// or the statement to them. Some statements make values of chance.
func (w *twoTenants) interferes(t *testing.T, sql string, tenant int) (how string, err error) {
	t.Helper()
	fresh := false
	with, err := w.try(t, sql, tenant, fresh, "")
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(refused.Code, "23") {
		fresh = true // what inserts wants ids that are not there yet
		with, err = w.try(t, sql, tenant, fresh, "")
	}
	if err != nil {
		return "", err
	}
	without, err := w.try(t, sql, tenant, fresh, forgetB)
	if err != nil {
		return "", err
	}
	chance := strings.Contains(sql, "gen_random_uuid")
	switch {
	case with.b != "" && with.b != w.dump(t, tenantB):
		return "changes the other tenant's rows", nil
	case strings.TrimSpace(without.b) != "":
		return "writes rows for the other tenant", nil
	case !chance && with.answer != without.answer:
		return "answers\n" + with.answer + "\ninstead of\n" + without.answer, nil
	case !chance && with.a != without.a:
		return "leaves\n" + with.a + "\ninstead of\n" + without.a, nil
	}
	return "", nil
}

// One test, since its transaction keeps others from writing the same keys.
func TestProvenStatementsDoNotInterfere(t *testing.T) {
	t.Parallel()
	w := openTwo(t)

	// Every real statement, and every trial that is tied.
	ran := 0
	for _, s := range subjects(t) {
		w.use(t, "shared")
		if s.table == "memberships" {
			w.use(t, "control")
		}
		how, err := w.interferes(t, s.query.SQL, s.query.Tenant)
		if err != nil {
			t.Errorf("%s: %v\n%s", s.query.Name, err, s.query.SQL)
			continue
		}
		ran++
		if how != "" {
			t.Errorf("%s is proven, but %s\n%s", s.query.Name, how, s.query.SQL)
		}
	}

	// Trials that are refused for want of a tie do interfere, or the eye is blind.
	w.use(t, "shared")
	interfering := 0
	for _, c := range untiedTrials {
		if how, err := w.interferes(t, c.sql, 1); err == nil && how != "" {
			interfering++
		}
	}
	t.Logf("%d proven statements and trials do not interfere, %d refused trials do", ran, interfering)
	if interfering < 30 {
		t.Error("too few refused trials interfere to trust what sees it")
	}
	w.random(t)
}

// writer makes random statements out of joins, subqueries and conditions, some of them
// ties in places where they count or do not.
type writer struct {
	*rand.Rand
	aliases int
}

func (w *writer) pick(of ...string) string { return of[w.IntN(len(of))] }

func (w *writer) chance(percent int) bool { return w.IntN(100) < percent }

var writtenTables = []string{"categories", "products", "events"}

// item is something in a FROM. Every item has tenant_id and id.
func (w *writer) item(depth int, visible []string) (sql, alias string) {
	w.aliases++
	alias = "x" + strconv.Itoa(w.aliases)
	switch {
	case depth > 0 && w.chance(15):
		lateral := w.pick("", "lateral ")
		if lateral == "" {
			visible = nil
		}
		return lateral + "(" + w.query(depth-1, visible) + ") as " + alias, alias
	case depth > 0 && w.chance(8):
		w.aliases++
		inner := "x" + strconv.Itoa(w.aliases)
		return "(select * from " + w.pick(writtenTables...) + " as " + inner + " where " + w.condition(0, []string{inner}, nil) +
			" order by " + inner + ".tenant_id, " + inner + ".id limit 2) as " + alias, alias
	}
	return w.pick(writtenTables...) + " as " + alias, alias
}

// condition joins atoms by AND, mostly.
func (w *writer) condition(depth int, aliases, outer []string) string {
	var atoms []string
	for _, alias := range aliases {
		if w.chance(55) {
			atoms = append(atoms, alias+".tenant_id = $1")
		}
	}
	for range w.IntN(3) {
		atoms = append(atoms, w.atom(depth, aliases, outer))
	}
	if len(atoms) == 0 {
		return "true"
	}
	w.Shuffle(len(atoms), func(i, j int) { atoms[i], atoms[j] = atoms[j], atoms[i] })
	switch {
	case w.chance(6):
		return "(" + strings.Join(atoms, " or ") + ")"
	case w.chance(4):
		return "not (" + strings.Join(atoms, " and ") + ")"
	}
	return strings.Join(atoms, " and ")
}

func (w *writer) atom(depth int, aliases, outer []string) string {
	a, b := w.pick(aliases...), w.pick(append(slices.Clone(aliases), outer...)...)
	switch w.IntN(10) {
	case 0, 1, 2:
		return a + ".tenant_id = " + b + ".tenant_id"
	case 3:
		return "(" + a + ".id, " + a + ".tenant_id) = (" + b + ".id, " + b + ".tenant_id)"
	case 4, 5:
		return a + ".id = " + b + ".id"
	case 6:
		return b + ".tenant_id = $1"
	case 7:
		if depth > 0 {
			return w.pick("", "not ") + "exists (" + w.query(depth-1, append(slices.Clone(aliases), outer...)) + ")"
		}
	case 8:
		if depth > 0 {
			return a + ".id in (select y.id from (" + w.query(depth-1, append(slices.Clone(aliases), outer...)) + ") as y)"
		}
	}
	return a + ".id " + w.pick("<", ">", "<>") + " " + w.pick("$2", b+".id")
}

// query gives tenant_id and id.
func (w *writer) query(depth int, outer []string) string {
	from, first := w.item(depth, outer)
	aliases := []string{first}
	for range w.IntN(depth + 2) {
		kind := w.pick("join", "join", "left join", "left join", "right join", "full join", "cross join", ",")
		visible := append(slices.Clone(aliases), outer...)
		if kind == "right join" || kind == "full join" {
			visible = nil
		}
		item, alias := w.item(depth, visible)
		aliases = append(aliases, alias)
		switch kind {
		case ",", "cross join":
			from += " cross join " + item
		case "full join":
			// PostgreSQL can only merge or hash these.
			from += " full join " + item + " on " + w.pick(aliases[:len(aliases)-1]...) + ".id = " + alias + ".id" +
				w.pick("", " and "+alias+".tenant_id = $1", " and "+first+".tenant_id = "+alias+".tenant_id")
		default:
			from += " " + kind + " " + item + " on " + w.condition(depth, aliases, outer)
		}
	}
	given := w.pick(aliases...)
	columns := given + ".tenant_id, " + given + ".id"
	if w.chance(10) {
		columns = "$1::uuid as tenant_id, " + given + ".id"
	}
	sql := "select " + columns + " from " + from + " where " + w.condition(depth, aliases, outer)
	switch {
	case depth > 0 && w.chance(8):
		return "(" + sql + ") " + w.pick("union", "union all", "except", "intersect") + " (" + w.query(depth-1, outer) + ")"
	case depth > 0 && w.chance(8):
		w.aliases++
		name := "x" + strconv.Itoa(w.aliases)
		return "with " + name + " as (" + w.query(depth-1, outer) + ") select " + given + ".tenant_id, " + given + ".id from " + from + " join " + name +
			" on " + name + ".id = " + given + ".id and " + w.condition(0, []string{name, given}, nil) + " where " + w.condition(0, aliases, outer)
	}
	return sql
}

func (w *writer) statement() string {
	w.aliases = 0
	switch w.IntN(8) {
	case 0:
		item, alias := w.item(1, nil)
		return "update products as p set stock = p.stock + 1 from " + item + " where " + w.condition(1, []string{"p", alias}, nil) + " returning p.id, p.stock"
	case 1:
		item, alias := w.item(1, nil)
		return "delete from events as e using " + item + " where " + w.condition(1, []string{"e", alias}, nil) + " returning e.id"
	case 2:
		return "select count(*), (select count(*) from (" + w.query(1, []string{"q"}) + ") as s) from (" + w.query(1, nil) + ") as q group by q.id, q.tenant_id"
	}
	return w.query(1, nil)
}

// random tries random statements: none that is proven interferes.
func (w *twoTenants) random(t *testing.T) {
	t.Helper()
	schema := proven(t)[0].schema
	random := &writer{Rand: rand.New(rand.NewPCG(2, 7))}
	accepted, refused, interfering := 0, 0, 0
	for accepted < 250 {
		sql := random.statement()
		isProven := schema.Prove(Query{File: "random", Name: "Random", SQL: sql, Tenant: 1}) == nil
		if !isProven && refused >= 150 {
			continue
		}
		how, err := w.interferes(t, sql, 1)
		switch {
		case err != nil && isProven && !strings.Contains(err.Error(), "statement timeout"):
			t.Errorf("is proven, but is no statement: %v\n%s", err, sql)
		case err != nil:
		case isProven:
			accepted++
			if how != "" {
				t.Errorf("is proven, but %s\n%s", how, sql)
			}
		default:
			refused++
			if how != "" {
				interfering++
			}
		}
	}
	t.Logf("%d proven statements ran; %d of %d refused ones interfere", accepted, interfering, refused)
	if interfering < 30 {
		t.Error("too few to say anything")
	}
}
