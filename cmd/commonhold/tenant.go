package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/tenant"
)

type tenantCmd struct {
	Create   tenantCreateCmd   `cmd:"" help:"Make a tenant for an owner, who gets a mail to begin with."`
	List     tenantListCmd     `cmd:"" help:"List the tenants there are, by their slugs."`
	Show     tenantShowCmd     `cmd:"" help:"Show where a tenant stands, and what happened to it last. None of its data."`
	Suspend  tenantSuspendCmd  `cmd:"" help:"Close a tenant to everybody, at once and on every server. Its data stays."`
	ReadOnly tenantReadOnlyCmd `cmd:"" help:"Let a tenant be read and not changed, at once and on every server."`
	Resume   tenantResumeCmd   `cmd:"" help:"Open a tenant again that was suspended or made read-only."`
}

// named is the tenant that a command is about.
type named struct {
	Tenant string `arg:"" help:"The tenant: its slug, or its id (ten_…)." placeholder:"SLUG|ID"`
}

type tenantCreateCmd struct {
	Slug            string `help:"Short name in addresses, unique: 3 to 40 characters of a–z and 0–9, and single hyphens between them." required:"" placeholder:"SLUG"`
	Name            string `help:"Name of the tenant." required:"" placeholder:"NAME"`
	Currency        string `help:"Currency of every amount in the tenant, by its code of ISO 4217. It cannot be changed later." required:"" placeholder:"CODE"`
	Owner           string `help:"Address of its owner. Who has an account is told; anybody else gets one, and a link to choose a password by." required:"" placeholder:"EMAIL"`
	OwnerName       string `help:"Name of an owner who has no account yet, as others will see it. Without it: what stands before the @." placeholder:"NAME"`
	JSON            bool   `help:"JSON for scripts."`
	controlDatabase `embed:""`
}

func (c *tenantCreateCmd) Run(ctx context.Context, con console) error {
	var currency scalar.Currency
	if err := currency.UnmarshalGQL(c.Currency); err != nil {
		return fault.New(fault.Invalid, "--currency must be a code of ISO 4217, such as EUR.")
	}
	db, done, err := c.open(ctx, con)
	if err != nil {
		return err
	}
	defer done()
	made, isNew, err := control.Create(ctx, db, control.Registration{Name: c.Name, Slug: c.Slug, Currency: string(currency)}, control.Owner{Email: c.Owner, Name: c.OwnerName})
	if err != nil {
		return atFlags(err, map[string]string{"tenantName": "--name", "slug": "--slug", "owner": "--owner", "ownerName": "--owner-name"})
	}
	if c.JSON {
		return json.NewEncoder(con.out).Encode(map[string]any{"id": made.ID.String(), "slug": made.Slug, "status": made.Status, "ownerIsNew": isNew})
	}
	mail := "gets a mail that says so"
	if isNew {
		mail = "gets a mail with a link to choose a password by, good for seven days"
	}
	_, err = fmt.Fprintf(con.out, "%s (%s) was made; its owner %s\n", made.Slug, made.ID, mail)
	return err
}

// atFlags names the flags that are to blame for all that an error joins.
func atFlags(err error, flags map[string]string) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		joined = one{err}
	}
	var first *fault.Error
	var said []string
	for _, e := range joined.Unwrap() {
		coded, ok := errors.AsType[*fault.Error](e)
		if !ok || len(coded.Field) == 0 {
			return err
		}
		if first == nil {
			first = coded
		}
		said = append(said, flags[coded.Field[0]]+": "+coded.Message)
	}
	return fault.New(first.Code, "%s", strings.Join(said, "\n  "))
}

type one struct{ error }

func (o one) Unwrap() []error { return []error{o.error} }

type tenantListCmd struct {
	Status          []string `help:"Only tenants of this status. Repeatable." enum:"PROVISIONING,ACTIVE,READ_ONLY,SUSPENDED,OFFBOARDING,ERASED" placeholder:"STATUS"`
	Isolation       []string `help:"Only tenants with such a home: SHARED, SCHEMA or DATABASE. Repeatable." enum:"SHARED,SCHEMA,DATABASE" placeholder:"ISOLATION"`
	Search          string   `help:"Only tenants whose slug or name begins so, in whichever case." placeholder:"TEXT"`
	After           string   `help:"Begin behind the tenant of this slug." placeholder:"SLUG"`
	Limit           int      `help:"How many to list; 0: all." default:"0"`
	JSON            bool     `help:"JSON for scripts: an object for each tenant, each in a line of its own."`
	controlDatabase `embed:""`
}

func (l *tenantListCmd) Run(ctx context.Context, con console) error {
	if l.Limit < 0 {
		return fault.New(fault.Usage, "--limit must be 0 or more.")
	}
	db, done, err := l.open(ctx, con)
	if err != nil {
		return err
	}
	defer done()
	shown := table{con: con, columns: []column{
		{title: "SLUG", least: 12}, {title: "NAME", least: 10}, {title: "STATUS"}, {title: "ISOLATION", spare: 3}, {title: "MEMBERS", spare: 2, right: true}, {title: "CREATED", spare: 1},
	}}
	encoder := json.NewEncoder(con.out)
	return control.List(ctx, db, control.Filter{Statuses: l.Status, Isolations: l.Isolation, Search: l.Search, After: l.After, Limit: l.Limit}, func(page []control.Listed) error {
		if l.JSON {
			for _, t := range page {
				if err := encoder.Encode(t); err != nil {
					return err
				}
			}
			return nil
		}
		rows := make([][]string, len(page))
		for i, t := range page {
			rows[i] = []string{t.Slug, t.Name, string(t.Status), t.Isolation, strconv.FormatInt(t.Members, 10), at(&t.CreatedAt)}
		}
		return shown.add(rows)
	})
}

type tenantShowCmd struct {
	named           `embed:""`
	JSON            bool `help:"JSON for scripts."`
	controlDatabase `embed:""`
}

func (s *tenantShowCmd) Run(ctx context.Context, con console) error {
	of, err := control.ParseNamed(s.Tenant)
	if err != nil {
		return err
	}
	db, done, err := s.open(ctx, con)
	if err != nil {
		return err
	}
	defer done()
	t, err := control.Summarize(ctx, db, of)
	if err != nil {
		return err
	}
	if s.JSON {
		return json.NewEncoder(con.out).Encode(t)
	}
	for _, line := range [][2]string{
		{"slug", t.Slug},
		{"id", t.ID},
		{"name", t.Name},
		{"status", fmt.Sprintf("%s since %s", t.Status, at(&t.StatusSince))},
		{"home", fmt.Sprintf("%s on %s, schema %s at version %d, epoch %d", t.Isolation, t.Cluster, t.Schema, t.SchemaVersion, t.Epoch)},
		{"door", orDash(t.Door)},
		{"currency", t.Currency},
		{"plan", t.Plan},
		{"members", fmt.Sprintf("%d, of whom %s", t.Members, number(t.Owners, "owner"))},
		{"open", fmt.Sprintf("%s, %s, %s", number(t.Invitations, "invitation"), number(t.APIKeys, "API key"), number(t.Sessions, "session"))},
		{"created", at(&t.CreatedAt)},
	} {
		fmt.Fprintf(con.out, "%-9s %s\n", line[0], line[1])
	}
	fmt.Fprintln(con.out)
	shown := table{con: con, columns: []column{{title: "WHEN"}, {title: "WHAT"}, {title: "BY", least: 12, spare: 1}, {title: "DETAILS", least: 20}}}
	var rows [][]string
	for _, e := range t.Events {
		rows = append(rows, []string{at(&e.OccurredAt), e.Action, orDash(e.Actor), details(e.Data)})
	}
	return shown.add(rows)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// details is what the log keeps of an event as words: "from ACTIVE, reason unpaid".
func details(data json.RawMessage) string {
	var kept map[string]json.RawMessage
	if json.Unmarshal(data, &kept) != nil || len(kept) == 0 {
		return "-"
	}
	var said []string
	for name, value := range kept {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		said = append(said, name+" "+text)
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}

// change is what the commands have in common that change the status of a tenant.
type change struct {
	named           `embed:""`
	Reason          string `help:"Why, in one line: kept in the tenant's log, where its owners read it too." placeholder:"TEXT"`
	Yes             bool   `help:"Do not ask. Needed where nobody is at a terminal." short:"y"`
	JSON            bool   `help:"JSON for scripts."`
	controlDatabase `embed:""`
}

type (
	tenantSuspendCmd struct {
		change `embed:""`
	}
	tenantReadOnlyCmd struct {
		change `embed:""`
	}
	tenantResumeCmd struct {
		change `embed:""`
	}
)

func (c *tenantSuspendCmd) Run(ctx context.Context, con console) error {
	return c.to(ctx, con, tenant.Suspended, "Suspend")
}

func (c *tenantReadOnlyCmd) Run(ctx context.Context, con console) error {
	return c.to(ctx, con, tenant.ReadOnly, "Let nobody change anything in")
}

func (c *tenantResumeCmd) Run(ctx context.Context, con console) error {
	return c.to(ctx, con, tenant.Active, "Resume")
}

// to changes the tenant's status. One that is so already is no error: that is what was
// asked for.
func (c *change) to(ctx context.Context, con console, status tenant.Status, verb string) error {
	of, err := control.ParseNamed(c.Tenant)
	if err != nil {
		return err
	}
	db, done, err := c.open(ctx, con)
	if err != nil {
		return err
	}
	defer done()
	before, err := control.Summarize(ctx, db, of)
	if err != nil {
		return err
	}
	if before.Status != status {
		if err := con.sure(ctx, c.Yes, "%s %s (%s), which is %s and has %s?", verb, before.Slug, before.Name, before.Status, number(before.Members, "member")); err != nil {
			return err
		}
	}
	t, changed, err := control.NewRegistry(db).Change(ctx, of, status, c.Reason)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(con.out).Encode(map[string]any{"id": t.ID.String(), "slug": t.Slug, "status": t.Status, "changed": changed})
	}
	if !changed {
		_, err = fmt.Fprintf(con.out, "%s is %s already, since %s: nothing was changed\n", t.Slug, t.Status, before.StatusSince.Format(time.RFC3339))
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s is %s now; it was %s\n", t.Slug, t.Status, before.Status)
	return err
}
