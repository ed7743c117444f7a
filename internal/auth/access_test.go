package auth

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/telemetry"
	"github.com/commonhold/commonhold/internal/tenant"
)

// accessed is a row of access_events. Together tells that the row it speaks of was
// written by the same transaction, and by no later one.
type accessed struct {
	Actor, Action, Entity, RequestID string
	Data                             map[string]any
	Together                         bool
}

func accessEvents(t testing.TB, conn *pgx.Conn, home tenant.ID) []accessed {
	t.Helper()
	rows, err := conn.Query(context.Background(), `
		select coalesce(e.actor_id::text, ''), e.action, e.entity_id::text, e.request_id, e.data,
		       coalesce((select s.xmin from control.sessions as s where s.id = e.entity_id), (select m.xmin from control.memberships as m where m.id = e.entity_id),
		                (select p.xmin from control.placements as p where p.tenant_id = e.entity_id)) = e.xid::xid
		from control.access_events as e where e.tenant_id = $1 order by e.xid, e.id`, home)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (accessed, error) {
		var a accessed
		var data []byte
		var together *bool
		if err := row.Scan(&a.Actor, &a.Action, &a.Entity, &a.RequestID, &data, &together); err != nil {
			return a, err
		}
		a.Together = together != nil && *together
		return a, json.Unmarshal(data, &a.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAccessIsRecorded(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	ctx := telemetry.NewContext(context.Background(), &telemetry.Request{ID: "the request"})
	r := newcomer()
	home, first, err := s.Register(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	session := func(held *Session) string {
		t.Helper()
		who, err := s.Authenticate(ctx, held.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		return who.Session.UUID().String()
	}
	who, err := s.Authenticate(ctx, first.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	owner := who.User.ID.UUID().String()
	var all []accessed
	// recorded wants these after all that was there, each with what it tells of. Of
	// earlier ones the rows may have changed since.
	recorded := func(what string, want ...accessed) {
		t.Helper()
		now := accessEvents(t, conn, home.ID)
		got := now[min(len(all), len(now)):]
		for i := range want {
			want[i].RequestID, want[i].Together = "the request", true
			if want[i].Data == nil {
				want[i].Data = map[string]any{}
			}
		}
		if diff := cmp.Diff(want, append([]accessed(nil), got...)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		all = now
	}
	recorded("registering",
		accessed{Actor: owner, Action: "tenant.registered", Entity: home.ID.UUID().String(), Data: map[string]any{"slug": home.Slug, "name": home.Name}},
		accessed{Actor: owner, Action: "session.started", Entity: session(first)})

	second, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	if err != nil {
		t.Fatal(err)
	}
	recorded("signing in", accessed{Actor: owner, Action: "session.started", Entity: session(second)})

	member, err := s.AddMember(ctx, home.ID, "member-"+r.Email, goodPassword, "Member", RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	var membership string
	if err := conn.QueryRow(ctx, `select id::text from control.memberships where user_id = $1`, member).Scan(&membership); err != nil {
		t.Fatal(err)
	}
	recorded("adding a member", accessed{Action: "member.added", Entity: membership, Data: map[string]any{"role": "VIEWER"}})

	third, err := s.Refresh(ctx, second.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	recorded("refreshing", accessed{Actor: owner, Action: "session.refreshed", Entity: session(second)})
	if _, err := s.Refresh(ctx, second.RefreshToken); err != nil {
		t.Fatal(err)
	}
	recorded("a retry within the grace")

	other, _, _ := register(t, s)
	for what, refused := range map[string]func() error{
		"a wrong password": func() error { _, _, err := s.SignIn(ctx, home.Slug, r.Email, wrongPassword); return err },
		"a foreign tenant": func() error { _, _, err := s.SignIn(ctx, home.Slug, other.Email, goodPassword); return err },
		"an unknown token": func() error { _, err := s.Refresh(ctx, formatRefresh(make([]byte, 32))); return err },
		"a slug in use": func() error {
			again := newcomer()
			again.Tenant.Slug = home.Slug
			_, _, err := s.Register(ctx, again)
			return err
		},
		"an account in use": func() error {
			_, err := s.AddMember(ctx, home.ID, r.Email, goodPassword, "Member", RoleViewer)
			return err
		},
		"a role that is none": func() error {
			_, err := s.AddMember(ctx, home.ID, "second-"+r.Email, goodPassword, "Member", "KING")
			return err
		},
	} {
		if err := refused(); err == nil {
			t.Errorf("%s was let in", what)
		}
		recorded(what)
	}

	ended := session(third)
	alter(t, conn, 1, `update control.refresh_tokens set used_at = used_at - interval '11 seconds' where token_hash = $1`, hashOf(t, second.RefreshToken))
	for range 2 {
		_, err = s.Refresh(ctx, second.RefreshToken)
		wantFault(t, "reuse", err, fault.BadCredential, "refreshToken")
	}
	recorded("a token used twice", accessed{Actor: owner, Action: "session.ended", Entity: ended, Data: map[string]any{"why": "refresh token used twice"}})

	ended = session(first)
	for range 2 {
		if err := s.SignOut(ctx, who.Session); err != nil {
			t.Fatal(err)
		}
	}
	recorded("signing out, twice", accessed{Actor: owner, Action: "session.ended", Entity: ended, Data: map[string]any{"why": "signed out"}})
}

// wantRecorded wants one record for each thing that was done, and none besides.
func wantRecorded(t testing.TB, conn *pgx.Conn, home tenant.ID, when string) {
	t.Helper()
	for action, sql := range map[string]string{
		"session.started":   `select count(*) from control.sessions where tenant_id = $1`,
		"session.refreshed": `select count(*) from control.refresh_tokens as r join control.sessions as s on s.id = r.session_id where s.tenant_id = $1 and r.used_at is not null`,
		"session.ended":     `select count(*) from control.sessions where tenant_id = $1 and revoked_at is not null`,
		"tenant.registered": `select count(*) from control.tenants where id = $1`,
		"member.added":      `select count(*) from control.memberships where tenant_id = $1 and role <> 'OWNER'`,
	} {
		done := count(t, conn, sql, home)
		if told := count(t, conn, `select count(*) from control.access_events where tenant_id = $1 and action = $2`, home, action); told != done {
			t.Errorf("%s: %s was done %d times and recorded %d times", when, action, done, told)
		}
	}
}

// Whoever leaves before a statement, no matter which: what was done is recorded, and
// what was not done is not.
func TestARecordIsThereWhereverItIsCancelled(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	for name, act := range map[string]func(context.Context, Registration, *tenant.Tenant, *Session) error{
		"signing in": func(ctx context.Context, r Registration, home *tenant.Tenant, _ *Session) error {
			_, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
			return err
		},
		"refreshing": func(ctx context.Context, _ Registration, _ *tenant.Tenant, held *Session) error {
			_, err := s.Refresh(ctx, held.RefreshToken)
			return err
		},
		"signing out": func(ctx context.Context, _ Registration, _ *tenant.Tenant, held *Session) error {
			var session id.Session
			claims, err := s.tokens.Verify(context.Background(), held.AccessToken)
			if err != nil {
				return err
			}
			if err := session.UnmarshalText([]byte(claims.Session)); err != nil {
				return err
			}
			return s.SignOut(ctx, session)
		},
		"adding a member": func(ctx context.Context, _ Registration, home *tenant.Tenant, _ *Session) error {
			_, err := s.AddMember(ctx, home.ID, "member-"+id.New().String()+"@tests.example", goodPassword, "Member", RoleMember)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := pgtest.Superuser(t)
			failed := 0
			for step := int64(1); ; step++ {
				r, home, held := register(t, s)
				ctx, cancel := context.WithCancel(context.Background())
				counted, _ := postgres.WithCounter(ctx)
				at := &cancelAt{Context: counted, cancel: cancel}
				at.left.Store(step)
				if act(at, r, home, held) != nil {
					failed++
				}
				cancel()
				wantRecorded(t, conn, home.ID, name)
				if at.left.Load() > 0 { // not cancelled any more: every step was
					break
				}
			}
			if failed < 2 {
				t.Errorf("%d attempts failed: the steps were not met", failed)
			}
		})
	}
	// What the count is for, planted: a record too many, and one too few.
	_, home, _ := register(t, s)
	for _, sql := range []string{
		`insert into control.access_events (tenant_id, id, action, entity_id, request_id, data) select tenant_id, gen_random_uuid(), action, entity_id, '', '{}' from control.access_events where tenant_id = $1 and action = 'session.started'`,
		`delete from control.access_events where tenant_id = $1 and action = 'tenant.registered'`,
	} {
		wantRecorded(t, conn, home.ID, "before a fault is planted")
		tx, err := conn.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		alter(t, conn, 1, sql, home.ID)
		found := &silent{TB: t}
		wantRecorded(found, conn, home.ID, "planted")
		if found.errors != 1 {
			t.Errorf("%d complaints of one fault: %s", found.errors, sql)
		}
		if err := tx.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// silent counts complaints instead of making them.
type silent struct {
	testing.TB
	errors int
}

func (s *silent) Errorf(string, ...any) { s.errors++ }

// Where the record cannot be written, nobody comes in or goes. Alone: it alters a
// table that every other test writes.
func TestNoAccessWithoutItsRecord(t *testing.T) { //nolint:paralleltest // see above
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	ctx := context.Background()
	r, home, held := register(t, s)
	who, err := s.Authenticate(ctx, held.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	alter(t, conn, 0, `alter table control.access_events add constraint no_more check (tenant_id <> '`+home.ID.UUID().String()+`') not valid`)
	t.Cleanup(func() { _, _ = conn.Exec(ctx, `alter table control.access_events drop constraint if exists no_more`) })
	rows := func() int {
		return count(t, conn, `select (select count(*) from control.sessions where tenant_id = $1 and revoked_at is null) + (select count(*) from control.memberships where tenant_id = $1)
			+ (select count(*) from control.refresh_tokens as r join control.sessions as s on s.id = r.session_id where s.tenant_id = $1 and r.used_at is null)`, home.ID)
	}
	before := rows()
	for what, act := range map[string]func() error{
		"signing in":  func() error { _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); return err },
		"refreshing":  func() error { _, err := s.Refresh(ctx, held.RefreshToken); return err },
		"signing out": func() error { return s.SignOut(ctx, who.Session) },
		"adding a member": func() error {
			_, err := s.AddMember(ctx, home.ID, "member-"+r.Email, goodPassword, "Member", RoleMember)
			return err
		},
	} {
		if err := act(); postgres.Constraint(err) != "no_more" {
			t.Errorf("%s: %v", what, err)
		}
		if now := rows(); now != before {
			t.Errorf("%s: %d rows, %d before", what, now, before)
		}
	}
	alter(t, conn, 0, `alter table control.access_events drop constraint no_more`)
	if _, err := s.Refresh(ctx, held.RefreshToken); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
