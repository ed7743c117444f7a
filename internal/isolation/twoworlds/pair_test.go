package twoworlds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
)

// pair is both worlds, and what runs in them.
type pair struct {
	t     testing.TB
	seed  uint64
	rng   *rand.Rand
	now   time.Time
	drawn uint64 // requests and whatever else drew
	asked int    // requests that were compared

	alone  *world // A
	shared *world // A and B
	a, b   *side

	schema  *ast.Schema
	cover   *coverage // of A
	ofB     *coverage
	origin  map[origin]int
	hashing string
	fields  []string // that half of A's requests are for; nil for none in particular
	// progress is called between batches.
	progress func()
}

var pairs atomic.Int32

// plant is a fault that is put into both worlds.
type plant struct {
	sql     string                          // run by the superuser
	rewrite func(statement string) string   // on the way to the database
	wrap    func(testing.TB, *world, *pair) // around the server
	fields  []string                        // root fields that half of the requests are for: where it would show
}

// beginning is where every pair begins: A has just registered, and B has worked for a
// while. It is made once and copied.
var beginning struct {
	once sync.Once
	pair *pair
}

// actsBefore is how much B does before A comes.
const actsBefore = 1200

func begin(t testing.TB) *pair {
	t.Helper()
	beginning.once.Do(func() {
		p := &pair{
			t: t, rng: rand.New(rand.NewPCG(1, 1)), now: epoch, a: newSide("a"), b: newSide("b"),
			ofB: newCoverage(), origin: make(map[origin]int),
		}
		var err error
		if p.schema, err = gqlparser.LoadSchema(&ast.Source{Input: commonhold.Schema}); err != nil {
			t.Fatal(err)
		}
		p.alone, p.shared = newWorld(t, "alone", template, nil), newWorld(t, "shared", template, nil)
		p.hashing = p.alone.hashing(t)
		p.settle(p.a, p.alone, p.shared)
		p.settle(p.b, p.shared)
		for range actsBefore {
			p.act()
		}
		p.alone.close() // nobody may be connected to what is copied
		p.shared.close()
		beginning.pair = p
	})
	if beginning.pair == nil {
		t.Fatal("the worlds could not be made; an earlier test says why")
	}
	return beginning.pair
}

func newPair(t testing.TB, seed uint64, planted plant) *pair {
	t.Helper()
	b := begin(t)
	p := &pair{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 2)), now: b.now, drawn: b.drawn, a: b.a.clone(), b: b.b.clone(),
		schema: b.schema, hashing: b.hashing, fields: planted.fields, cover: newCoverage(), ofB: newCoverage(), origin: make(map[origin]int), progress: func() {},
	}
	n := pairs.Add(1)
	for into, from := range map[**world]string{&p.alone: "alone", &p.shared: "shared"} {
		name := fmt.Sprintf("%s_%d", from, n)
		w := newWorld(t, name, from, planted.rewrite)
		t.Cleanup(func() { w.close(); drop(t, name) })
		if planted.sql != "" {
			if _, err := w.admin.Exec(context.Background(), planted.sql); err != nil {
				t.Fatal(err)
			}
		}
		*into = w
		if planted.wrap != nil {
			planted.wrap(t, w, p)
		}
	}
	return p
}

// settle registers a tenant with its people.
func (p *pair) settle(s *side, worlds ...*world) {
	p.t.Helper()
	s.people = append(s.people, &person{email: "owner@" + s.name + ".example", role: auth.RoleOwner})
	p.step()
	const register = `mutation($i: RegisterTenantInput!) { registerTenant(input: $i) { confirmationSent userErrors { message } } }`
	const confirm = `mutation($t: String!, $p: String) { confirmRegistration(input: {token: $t, password: $p}) { tenant { id } session { accessToken } userErrors { message } } }`
	var made struct {
		Data struct {
			ConfirmRegistration struct {
				Tenant  struct{ ID tenant.ID }
				Session struct{ AccessToken string }
			}
		}
	}
	for _, w := range worlds {
		w.draw(p.t, p.seed, p.drawn, p.now)
		answered := w.send(p.t, &request{body: map[string]any{"query": register, "variables": map[string]any{"i": map[string]any{
			"tenantName": "Tenant " + s.name, "slug": s.slug, "email": s.people[0].email, "password": s.password, "displayName": "Owner", "currencyCode": "EUR",
		}}}})
		var link uuid.UUID
		if err := w.admin.QueryRow(context.Background(), `select id from control.registrations where email = $1`, s.people[0].email).Scan(&link); err != nil {
			p.t.Fatalf("register a tenant: %v, %s", err, answered.body)
		}
		answered = w.send(p.t, &request{body: map[string]any{"query": confirm, "variables": map[string]any{"t": ring().Token("registration", link), "p": s.password}}})
		if err := json.Unmarshal(answered.body, &made); err != nil || made.Data.ConfirmRegistration.Session.AccessToken == "" {
			p.t.Fatalf("confirm a registration: %s", answered.body)
		}
		// Whoever registers a day later forgets it.
		if _, err := w.admin.Exec(context.Background(), `delete from control.registrations`); err != nil {
			p.t.Fatal(err)
		}
	}
	s.tenant = made.Data.ConfirmRegistration.Tenant.ID
	s.people[0].bearer = made.Data.ConfirmRegistration.Session.AccessToken
	var owner id.Member
	if err := worlds[0].admin.QueryRow(context.Background(), `select id from control.memberships where tenant_id = $1`, s.tenant).Scan(&owner); err != nil {
		p.t.Fatal(err)
	}
	s.owner = owner.String()
	for _, role := range []auth.Role{auth.RoleAdmin, auth.RoleMember, auth.RoleViewer} {
		someone := &person{role: role}
		p.join(s, someone, worlds...)
		s.people = append(s.people, someone)
	}
}

// join lets somebody new take a place in a tenant, in all worlds where it is.
func (p *pair) join(s *side, place *person, worlds ...*world) {
	p.t.Helper()
	place.email, place.bearer = s.fresh(strings.ToLower(string(place.role)))+"@"+s.name+".example", ""
	p.step()
	for _, w := range worlds {
		w.draw(p.t, p.seed, p.drawn, p.now)
		if _, err := w.auth.AddMember(context.Background(), s.tenant, place.email, s.password, string(place.role), place.role); err != nil {
			p.t.Fatal(err)
		}
	}
}

// step lets the clock go on and the next request draw anew.
func (p *pair) step() {
	p.drawn++
	switch f := p.rng.Float64(); {
	case f < 0.9:
		p.now = p.now.Add(time.Duration(1+p.rng.IntN(50)) * time.Millisecond)
	case f < 0.999:
		p.now = p.now.Add(time.Duration(1+p.rng.IntN(5000)) * time.Millisecond)
	default:
		p.now = p.now.Add(5 * time.Hour) // keys expire, and tokens
	}
}

// difference is what A saw of B.
type difference struct {
	what    string
	request string
	asked   int
}

func (d *difference) String() string { return d.what + "\n" + d.request }

// both sends a request of A's to both worlds and compares the answers.
func (p *pair) both(r *request, text string) (answer, *difference) {
	p.step()
	p.asked++
	p.alone.draw(p.t, p.seed, p.drawn, p.now)
	alone := p.alone.send(p.t, r)
	p.shared.draw(p.t, p.seed, p.drawn, p.now)
	shared := p.shared.send(p.t, r)
	said := fmt.Sprintf("seed %d, request %d: key %q, X-Tenant-ID %q, accept %q, get %t\n%s", p.seed, p.asked, r.key, r.tenant, r.accept, r.get, text)
	if alone.shown != shared.shown {
		return alone, &difference{what: "the answers differ: " + firstDifference(alone.shown, shared.shown), request: said, asked: p.asked}
	}
	if repeated := repeatsID(alone.body); repeated != "" {
		return alone, &difference{what: "a message names an id: " + repeated, request: said, asked: p.asked}
	}
	if strings.Contains(string(alone.body), `"code":"INTERNAL"`) {
		return alone, &difference{what: "something went wrong in both: " + string(alone.body), request: said, asked: p.asked}
	}
	return alone, nil
}

func firstDifference(alone, shared string) string {
	i := 0
	for i < len(alone) && i < len(shared) && alone[i] == shared[i] {
		i++
	}
	around := func(s string) string { return s[max(0, i-60):min(len(s), i+100)] }
	return fmt.Sprintf("from byte %d on\n  A alone: …%s…\n  A and B: …%s…", i, around(alone), around(shared))
}

var (
	messages = regexp.MustCompile(`"message":"((?:[^"\\]|\\.)*)"`)
	anID     = regexp.MustCompile(`\b[a-z]+_[0-9a-hjkmnp-tv-z]{26}\b`)
)

// example is the id that messages show who sent none.
const example = "prod_01h2xcejqtf2nbrexx3vqjhp41"

// repeatsID finds an id in a message: what is said of a foreign id must not depend on
// it, and an id is the one thing that does.
func repeatsID(body []byte) string {
	for _, message := range messages.FindAllSubmatch(body, -1) {
		for _, id := range anID.FindAllString(string(message[1]), -1) {
			if id != example {
				return string(message[1])
			}
		}
	}
	return ""
}

// signIn begins a session of a person of A, in both worlds. Somebody else takes the
// place of who may not come in any more.
func (p *pair) signIn(someone *person) *difference {
	r := signInRequest(p.a, someone)
	a, d := p.both(r, "signIn of "+someone.email)
	for d == nil && strings.Contains(string(a.body), `"RATE_LIMITED"`) { // what was tried before was in vain
		p.now = p.now.Add(time.Minute)
		a, d = p.both(r, "signIn of "+someone.email)
	}
	if d != nil {
		return d
	}
	if someone.bearer = p.tokenOf(a); someone.bearer == "" {
		p.join(p.a, someone, p.alone, p.shared)
	}
	return nil
}

// readMail takes the links that A was sent, and the addresses that A's people have, out
// of the world where A is alone.
func (p *pair) readMail() {
	ctx := context.Background()
	rows, err := p.alone.admin.Query(ctx, `(select id, purpose from control.mail_links where used_at is null order by created_at desc, id limit 8)
		union all (select id, 'registration' from control.registrations where became_id is null order by created_at desc, id limit 4)`)
	if err != nil {
		p.t.Fatal(err)
	}
	p.a.texts["password reset"], p.a.texts["email change"], p.a.texts["registration"] = nil, nil, nil
	var link uuid.UUID
	var purpose string
	if _, err := pgx.ForEachRow(rows, []any{&link, &purpose}, func() error {
		p.a.texts[purpose] = append(p.a.texts[purpose], ring().Token(purpose, link))
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	for i, someone := range p.a.people { // in the order in which they came
		if err := p.alone.admin.QueryRow(ctx, `select u.email from control.users as u join control.memberships as m on m.user_id = u.id
			where m.tenant_id = $1 order by m.created_at, m.id offset $2 limit 1`, p.a.tenant, i).Scan(&someone.email); err != nil {
			p.t.Fatal(err)
		}
	}
}

// mails are the mutations that send a link, or use one up.
var mails = map[string]bool{"requestPasswordReset": true, "requestEmailChange": true, "resetPassword": true, "confirmEmailChange": true, "registerTenant": true, "confirmRegistration": true}

func signInRequest(s *side, someone *person) *request {
	return &request{body: map[string]any{
		"query":     `mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } userErrors { message } } }`,
		"variables": map[string]any{"i": map[string]any{"tenant": s.slug, "email": someone.email, "password": s.password}},
	}}
}

// tokenOf is the access token of a session, "" for who may not begin one.
func (p *pair) tokenOf(a answer) string {
	var in struct {
		Data struct {
			SignIn struct{ Session struct{ AccessToken string } }
		}
	}
	if err := json.Unmarshal(a.body, &in); err != nil || in.Data.SignIn.Session.AccessToken == "" && !strings.Contains(string(a.body), `"userErrors":[{`) {
		p.t.Fatalf("sign in again: %s", a.body)
	}
	return in.Data.SignIn.Session.AccessToken
}

func (p *pair) generator(me, other *side, someone *person, c *coverage, exclude map[string]string) *generator {
	share := 0.33
	if me == p.b { // it is there to have things
		share = 0.75
	}
	return &generator{own: share, schema: p.schema, rng: p.rng, me: me, other: other, person: someone, cover: c, now: p.now, origin: p.origin, exclude: exclude}
}

// someone of a side: mostly its owner, sometimes nobody.
func (p *pair) someone(s *side, nobody bool) *person {
	switch f := p.rng.Float64(); {
	case f < 0.75, s == p.b && f < 0.95:
		return s.people[0]
	case f < 0.97 || !nobody:
		return s.people[1+p.rng.IntN(len(s.people)-1)]
	}
	return &person{}
}

// ask makes up an operation of A's and compares its answers.
func (p *pair) ask() *difference {
	someone := p.someone(p.a, true)
	if r, ok := pick(p.rng, p.a.keyed); ok && p.rng.Float64() < 0.02 { // a retry, as its person or another
		again := *r
		if someone.bearer != "" {
			again.bearer = someone.bearer
		}
		_, d := p.both(&again, "a retry")
		return d
	}
	if key, ok := pick(p.rng, p.a.texts["secret"]); ok && p.rng.Float64() < 0.08 { // a machine, whose key may be over
		someone = &person{bearer: key, machine: true}
	}
	g := p.generator(p.a, p.b, someone, p.cover, nil)
	g.fields = p.fields
	op := g.operation()
	if _, errs := gqlparser.LoadQuery(p.schema, op.text); errs != nil {
		p.t.Fatalf("seed %d, request %d: the operation that was made up is not valid: %v\n%s", p.seed, p.asked, errs, op.text)
	}
	bearer := someone.bearer
	if endsSessions[op.root[0].name] && someone.email != "" { // in a session that nobody else needs
		before := *someone
		if d := p.signIn(&before); d != nil {
			return d
		}
		bearer = before.bearer
	}
	if op.nobody {
		bearer = ""
	}
	if op.root[0].name == "transferOwnership" && someone.email != "" { // by another owner: the first stays one
		another := &person{role: auth.RoleOwner}
		p.join(p.a, another, p.alone, p.shared)
		if d := p.signIn(another); d != nil {
			return d
		}
		bearer = another.bearer
	}
	r := p.request(op, p.a, p.b, bearer)
	text := op.text + "\nvariables " + literalJSON(op.variables)
	if op.kind == ast.Query && p.rng.Float64() < 0.2 { // B asks the same first, and the server may remember
		theirs := *r
		theirs.bearer, theirs.from = p.b.people[0].bearer, elsewhere
		if theirs.bearer != "" {
			p.shared.draw(p.t, p.seed^0xb, p.drawn, p.now)
			p.shared.send(p.t, &theirs)
		}
	}
	p.cover.tried(op)
	answered, d := p.both(r, text)
	if d != nil {
		return d
	}
	if mails[op.root[0].name] {
		p.readMail()
	}
	cover := p.cover
	if p.a.learn(op, answered, cover) && r.key != "" {
		p.a.keys = remember(p.a.keys, r.key)
		p.a.keyed = remember(p.a.keyed, r)
	}
	if answered.status == 401 && someone.email != "" {
		return p.signIn(someone)
	}
	return nil
}

// endsSessions are the mutations after which the session they run in may have ended.
var endsSessions = map[string]bool{"signOut": true}

// request wraps an operation as clients do.
func (p *pair) request(op *operation, me, other *side, bearer string) *request {
	r := &request{bearer: bearer, body: map[string]any{"query": op.text, "variables": op.variables}}
	chance := func(f float64) bool { return p.rng.Float64() < f }
	switch {
	case op.deferred && chance(0.8):
		r.accept = "multipart/mixed; deferSpec=20220824, application/graphql-response+json"
	case chance(0.5):
		r.accept = "application/graphql-response+json"
	}
	r.get = op.kind == ast.Query && chance(0.1) && len(op.text) < 4000
	if op.kind == ast.Query && chance(0.1) {
		sum := sha256.Sum256([]byte(op.text))
		r.body["extensions"] = map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hex.EncodeToString(sum[:])}}
		if chance(0.3) {
			delete(r.body, "query")
		}
	}
	if op.kind == ast.Mutation && chance(0.25) {
		theirs, some := pick(p.rng, other.keys)
		mine, any := pick(p.rng, me.keys)
		switch {
		case some && chance(0.4):
			r.key, op.foreign = theirs, true
		case any && chance(0.2):
			r.key = mine
		default:
			r.key = me.fresh("key")
		}
	}
	if chance(0.15) {
		switch {
		case chance(0.5):
			r.tenant = me.tenant.String()
		default:
			r.tenant, op.foreign = other.tenant.String(), true
		}
	}
	return r
}

func literalJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// leftToA are root fields that B leaves alone: what they make is nobody's of the two.
var leftToA = map[string]string{
	"transferOwnership": "would take from the person who works there what they may do",
	"registerTenant":    "makes a third tenant, and the two worlds are to differ by B alone",
	"signOut":           "would end the session that B works in",
	"refreshSession":    "the same, when a token is used twice",

	"confirmRegistration": "makes a third tenant, as registerTenant",
	"endSession":          "the same",
	"signOutEverywhere":   "the same",
	"changePassword":      "the same",
	"resetPassword":       "the same",
	"confirmEmailChange":  "the same",
	"requestEmailChange":  "sends a mail to an address that is nobody's of the two yet",
	"signIn":              "at an address of A in vain, it would make A wait, as it should",
}

// elsewhere is where B asks from: another network, so that A waits for nothing that B tried.
const elsewhere = "198.51.100.1:1234"

// act lets B do something, where it is.
func (p *pair) act() {
	someone := p.someone(p.b, false)
	p.step()
	if someone.bearer == "" || p.rng.Float64() < 0.02 {
		p.shared.draw(p.t, p.seed, p.drawn, p.now)
		again := signInRequest(p.b, someone)
		again.from = elsewhere
		someone.bearer = p.tokenOf(p.shared.send(p.t, again))
		if someone.bearer == "" {
			p.join(p.b, someone, p.shared)
			return
		}
		p.step()
	}
	op := p.generator(p.b, p.a, someone, p.ofB, leftToA).operation()
	r := p.request(op, p.b, p.a, someone.bearer)
	r.from = elsewhere
	p.shared.draw(p.t, p.seed, p.drawn, p.now)
	answered := p.shared.send(p.t, r)
	p.ofB.tried(op)
	if p.b.learn(op, answered, p.ofB) && r.key != "" {
		p.b.keys = remember(p.b.keys, r.key)
	}
	if answered.status == 401 {
		someone.bearer = ""
	}
}

// batch lets B act, A ask, and compares all rows.
func (p *pair) batch(acts, asks int) *difference {
	for range acts {
		p.act()
	}
	before, _ := p.shared.hash(p.t, p.hashing, p.b.tenant)
	begin := p.asked
	for p.asked < begin+asks {
		if d := p.ask(); d != nil {
			return d
		}
	}
	after, ofAll := p.shared.hash(p.t, p.hashing, p.b.tenant)
	_, alone := p.alone.hash(p.t, p.hashing, p.b.tenant)
	at := fmt.Sprintf("seed %d, requests %d to %d", p.seed, begin+1, p.asked)
	if table := differs(before, after); table != "" {
		return &difference{what: "A changed rows of B in " + table, request: at, asked: p.asked}
	}
	if table := differs(alone, ofAll); table != "" {
		return &difference{what: "the rows of " + table + " differ from those of the world without B", request: at, asked: p.asked}
	}
	return nil
}

func differs(one, other map[string]string) string {
	tables := slices.Sorted(maps.Keys(one))
	for _, table := range append(tables, slices.Sorted(maps.Keys(other))...) {
		if one[table] != other[table] {
			return table
		}
	}
	return ""
}

const (
	asksInBatch = 40
	actsInBatch = 8
)

// run asks until A has asked n requests, and stops at the first difference.
func (p *pair) run(n int) *difference {
	for p.asked < n {
		if d := p.batch(actsInBatch, min(asksInBatch, n-p.asked)); d != nil {
			return d
		}
		p.progress()
	}
	return nil
}
