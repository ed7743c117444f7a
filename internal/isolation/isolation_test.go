package isolation

import (
	"context"
	"encoding/json"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t, role))
	if err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// named are the findings as "check object", without the one about the version of
// the server that the tests happen to run on.
func named(r *Report) []string {
	names := []string{}
	for _, f := range r.Findings {
		if f.Check != "server.version" {
			names = append(names, f.Check+" "+f.Object)
		}
	}
	slices.Sort(names)
	return names
}

// execute runs several statements, as only a test may.
func execute(t *testing.T, tx pgx.Tx, sql string) {
	t.Helper()
	if _, err := tx.Conn().PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// planted gives fn a transaction with notes in it, which is rolled back.
func planted(t *testing.T, conn *pgx.Conn, fn func(pgx.Tx)) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	execute(t, tx, notes)
	fn(tx)
}

func report(t *testing.T, q Querier) *Report {
	t.Helper()
	r, err := Check(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The planted faults lock tables and catalogs, so this test is not parallel: the
// parallel ones wait until it has finished.
func TestPlantedFaultsAreFoundAndTheAdviceMendsThem(t *testing.T) {
	conn := connect(t, "postgres")
	var byHand []string
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			planted(t, conn, func(tx pgx.Tx) {
				execute(t, tx, f.plant)
				r := report(t, tx)
				if got := named(r); !slices.Equal(got, f.found) {
					t.Fatalf("found %q, want %q", got, f.found)
				}
				severe := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == "error" })
				if r.Broken() != severe || (r.Hardening == "reduced") != (len(r.Missing) > 0) {
					t.Errorf("broken %t, hardening %s, missing %q of %+v", r.Broken(), r.Hardening, r.Missing, r.Findings)
				}
				// The request role, which asks when a server starts, sees as much.
				execute(t, tx, "set local role commonhold_app; set local search_path = pg_catalog")
				if got := named(report(t, tx)); !slices.Equal(got, f.found) {
					t.Errorf("the request role found %q, want %q", got, f.found)
				}
				execute(t, tx, "reset role; reset search_path")
				// What was mended may show what it hid: an owner needs no grants.
				for range 2 {
					if !follow(t, tx, r) {
						byHand = append(byHand, f.name)
						return
					}
					if r = report(t, tx); len(named(r)) == 0 {
						return
					}
				}
				t.Errorf("after the advice there is still %q", named(r))
			})
		})
	}
	t.Logf("%d faults, all but %d mended by their advice: %q", len(faults), len(byHand), byHand)
	if len(byHand) > len(faults)/10 {
		t.Errorf("no SQL mends %d of %d faults", len(byHand), len(faults))
	}
}

// follow runs the advice of all findings. It is false where some is in words.
func follow(t *testing.T, tx pgx.Tx, r *Report) bool {
	t.Helper()
	var statements []string
	inWords := false
	for _, f := range r.Findings {
		first := []rune(f.Advice + " ")[0]
		switch {
		case f.Message == "" || strings.Contains(f.Advice, "\n") || !unicode.IsLetter(first):
			t.Errorf("%+v: not one line of advice", f)
		case f.Check == "server.version":
		case unicode.IsLower(first):
			statements = append(statements, f.Advice)
		default:
			inWords = true
		}
	}
	if inWords {
		return false
	}
	for _, sql := range statements {
		execute(t, tx, sql)
	}
	return true
}

// A check that no fault was planted for might as well not be there.
func TestEveryCheckHasAPlantedFault(t *testing.T) {
	t.Parallel()
	first := regexp.MustCompile(`(?m)^select '([a-z_.]+)'`)
	var caught []string
	for _, f := range faults {
		for _, name := range f.found {
			check, _, _ := strings.Cut(name, " ")
			caught = append(caught, check)
		}
	}
	count := 0
	for _, name := range checks {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range first.FindAllStringSubmatch(string(text), -1) {
			count++
			if m[1] != "server.version" && !slices.Contains(caught, m[1]) {
				t.Errorf("%s: no fault is planted for %s", name, m[1])
			}
		}
	}
	if count < 40 {
		t.Errorf("only %d checks were found in the files", count)
	}
}

// mended are the minor versions that version.sql asks for.
var mended = map[int]int{15: 20, 16: 16, 17: 12, 18: 7}

func TestNothingIsFoundInACleanDatabaseWhoeverAsks(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"postgres", "commonhold_migrator", "commonhold_control", "commonhold_app", "commonhold_backup"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			r, err := Doctor(t.Context(), pgtest.URL(t, role))
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken() || r.Hardening != "full" || len(r.Missing) != 0 || len(named(r)) != 0 || r.Database != pgtest.Database {
				t.Errorf("%+v", r)
			}
			major, minor, _ := strings.Cut(r.Server, ".")
			m, err := strconv.Atoi(major)
			if err != nil {
				t.Fatalf("server %q: %v", r.Server, err)
			}
			n, err := strconv.Atoi(minor)
			if err != nil {
				t.Fatalf("server %q: %v", r.Server, err)
			}
			if leaks := n < mended[m]; leaks != (len(r.Findings) == 1) {
				t.Errorf("server %s: %+v", r.Server, r.Findings)
			}
			// Outside of the doctor's transaction, with the role's own search path.
			if names := named(report(t, connect(t, role))); len(names) != 0 {
				t.Errorf("found %q", names)
			}
			text, err := json.Marshal(r)
			if err != nil || !strings.Contains(string(text), `"missing":[],"findings":[`) {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
}

func TestReducedHardeningIsNamedAndBreaksNoWall(t *testing.T) {
	planted(t, connect(t, "postgres"), func(tx pgx.Tx) {
		execute(t, tx, "grant execute on function set_config(text, text, boolean) to public; grant usage on language sql to public; grant update (setting) on pg_settings to public")
		r := report(t, tx)
		if r.Broken() || r.Hardening != "reduced" || !slices.Equal(r.Missing, []string{"language sql", "pg_settings", "set_config(text,text,boolean)"}) {
			t.Errorf("broken %t, hardening %s, missing %q", r.Broken(), r.Hardening, r.Missing)
		}
	})
}

// The finding names the membership to take away, and what it leads to in the end.
func TestMembershipSaysWhereItLeads(t *testing.T) {
	planted(t, connect(t, "postgres"), func(tx pgx.Tx) {
		execute(t, tx, "create role powerful bypassrls; create role middle; grant powerful to middle; grant middle to commonhold_app")
		for _, f := range report(t, tx).Findings {
			if f.Object == "commonhold_app" && strings.Contains(f.Message, "powerful (BYPASSRLS)") && f.Advice == "revoke middle from commonhold_app" {
				return
			}
		}
		t.Error("no finding says that commonhold_app may act as powerful")
	})
}

// A search path that hides what is wrong with a policy does not hide it from the check.
func TestPolicyThatOnlyPrintsTheSameIsFound(t *testing.T) {
	planted(t, connect(t, "postgres"), func(tx pgx.Tx) {
		execute(t, tx, `create table public.memberships (tenant_id uuid, user_id uuid);
			set local search_path = public;
			alter policy members_visible on control.users using (exists (
				select from memberships as m
				where m.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and m.user_id = users.id))`)
		if got := named(report(t, tx)); !slices.Equal(got, []string{"policy.shadowed control.users"}) {
			t.Errorf("found %q", got)
		}
	})
}

func TestDoctorSaysWhyThereIsNothingToCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url string
		code      fault.Code
	}{
		{"no URL", "postgres://[", fault.Config},
		{"nobody listens", "postgres://postgres:hidden@127.0.0.1:1/commonhold", fault.DatabaseDown},
		{"no such database", pgtest.ServerURL(t, "postgres", "nowhere"), fault.DatabaseDown},
		{"not migrated", pgtest.ServerURL(t, "postgres", "postgres"), fault.NotMigrated},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := Doctor(t.Context(), c.url)
			if r != nil || !fault.Is(err, c.code) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%+v, %v, want %s", r, err, c.code)
			}
		})
	}
}
