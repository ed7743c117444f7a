package textproof

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/commonhold/commonhold/internal/postgres"
)

// What ties a table is read from the migrations.
func TestSchemaIsReadFromTheMigrations(t *testing.T) {
	t.Parallel()
	sets := proven(t)
	platform, err := ReadSchema(postgres.Files(), "", "control", "gate")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		schema *Schema
		want   string
	}{
		{sets[0].schema, "categories:tenant_id=tenant customers:tenant_id=tenant events:tenant_id=tenant order_items:tenant_id=tenant order_numbers:tenant_id=tenant orders:tenant_id=tenant products:tenant_id=tenant"},
		{sets[1].schema, "memberships:tenant_id=tenant users:id=member"},
		{platform, "memberships:tenant_id=tenant placements:tenant_id=tenant plans refresh_tokens sessions:tenant_id=tenant signing_keys tenant_doors:tenant_id=tenant tenants:id=tenant user_credentials users:id=member"},
	} {
		var got []string // with those of nouns that came later
		for _, name := range slices.Sorted(maps.Keys(c.schema.Tables)) {
			table := c.schema.Tables[name]
			switch {
			case table.Closed != "":
			case table.Walled():
				got = append(got, name+":"+table.Key+"="+string(table.Holds))
			default:
				got = append(got, name)
			}
		}
		for want := range strings.FieldsSeq(c.want) {
			if !slices.Contains(got, want) {
				t.Errorf("%s is not among %s", want, strings.Join(got, " "))
			}
		}
	}
	if got := sets[1].schema.Tables["memberships"].Gives; len(got) != 1 || got["user_id"] != holdsMember {
		t.Errorf("memberships give %v", got)
	}
}

// Migrations that the proof would be wrong about.
func TestMigrationsItDoesNotKnow(t *testing.T) {
	t.Parallel()
	things := "create table things (tenant_id uuid not null, id uuid not null);\n"
	for _, c := range []struct{ name, sql, says string }{
		{"known", things + "alter table things enable row level security; alter table things add column name text; grant select on things to app;", ""},
		{"dropped column", things + "alter table things drop column tenant_id; grant select on things to app;", ""},
		{"tenant may be null", "create table things (tenant_id uuid)", "tenant_id is not uuid not null"},
		{"tenant is a text", "create table things (tenant_id text not null)", "tenant_id is not uuid not null"},
		{"tenant may become null", things + "alter table things alter column tenant_id drop not null", "tenant_id is not uuid not null"},
		{"renamed", things + "alter table things rename to stuff", "a migration has a RenameStmt"},
		{"other type", things + "alter table things alter column tenant_id type text", "ALTER TABLE AT_AlterColumnType"},
		{"view", things + "create view all_things as select * from things", "a migration has a ViewStmt"},
		{"copy", things + "create table copy as select * from things", "a migration has a CreateTableAsStmt"},
		{"like", things + "create table copy (like things)", "neither a column nor a constraint"},
		{"inherits", things + "create table more () inherits (things)", "inherits or is partitioned"},
		{"partitioned", "create table things (tenant_id uuid not null) partition by hash (tenant_id)", "inherits or is partitioned"},
		{"dropped table", things + "drop table things", "a migration has a DropStmt"},
		{"security without a tie", "create table things (id uuid not null); alter table things enable row level security; create policy p on things using (true)", "neither a tenant_id nor a policy of the form"},
		{"security by a policy with or", things + "create table more (id uuid not null); alter table more enable row level security; create policy p on more using (exists (select from things as t where t.tenant_id is not null or t.id = more.id))", "neither a tenant_id nor a policy of the form"},
		{"made twice", things + things, "table things is made twice"},
		{"function of its own name", things + "create function things_left(x uuid) returns bigint language sql as 'select 1'; grant select on things to app;", ""},
		{"function by an allowed name", things + "create function length(x uuid) returns bigint language sql as 'select count(*) from things'", "makes a function length"},
		{"function by an allowed name, qualified", things + "create or replace function shared.Lower(x uuid) returns text language plpgsql as 'begin end'", "makes a function lower"},
		{"function by the name of a type", things + "create function text(x uuid) returns text language sql as 'select 1'", "makes a function text"},
		{"procedure by an allowed name", things + "create procedure count() language sql as 'select 1'", "makes a function count"},
		{"function that takes an allowed name", things + "alter function things_left(uuid) rename to length", "a migration has a RenameStmt"},
		{"function that moves", things + "alter function elsewhere.things_left(uuid) set schema shared", "a migration has a AlterObjectSchemaStmt"},
		{"operator", things + "create operator = (leftarg = uuid, rightarg = text, function = f)", "a migration has a DefineStmt"},
		{"aggregate", things + "create aggregate sum(uuid) (sfunc = f, stype = bigint)", "a migration has a DefineStmt"},
		{"cast", things + "create cast (uuid as bigint) with function f(uuid)", "a migration has a CreateCastStmt"},
		{"domain", things + "create domain uuid as text", "a migration has a CreateDomainStmt"},
		{"type", things + "create type date as (x text)", "a migration has a CompositeTypeStmt"},
		{"enum", things + "create type date as enum ('x')", "a migration makes a type date, a name that queries may use"},
		{"extension", things + "create extension citext", "a migration has a CreateExtensionStmt"},
		{"code", things + "do $$ begin execute 'create function length(x uuid) returns bigint language sql as ''select 1'''; end $$", "runs code (DoStmt)"},
		{"code of a function", things + "select make_functions()", "runs code (SelectStmt)"},
		{"no SQL", "creat table", "syntax error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{"migrations/tenant/0001_init.sql": {Data: []byte("-- +goose Up\n" + c.sql + "\n;\n-- +goose Down\ndrop table things;\n")}}
			schema, err := ReadSchema(files, "app", "tenant")
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%v", err)
			case c.says == "" && (schema.Tables["things"].Closed == "") == (c.name == "dropped column"):
				t.Errorf("closed: %q", schema.Tables["things"].Closed)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := ReadSchema(fstest.MapFS{}, "", "tenant"); err == nil {
		t.Error("no migrations are taken for a schema")
	}
}
