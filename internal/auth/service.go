package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// sessionLifetime is how long a sign-in lasts, however often it is refreshed.
	sessionLifetime = 30 * 24 * time.Hour
	// sessionIdle is how long it lasts where nobody refreshes it.
	sessionIdle = 14 * 24 * time.Hour
	// refreshGrace is how long after its use a refresh token answers with the
	// same successor: a client whose answer got lost asks again, which is no theft.
	refreshGrace = 10 * time.Second
)

// Service signs people in and checks what they show afterwards.
type Service struct {
	db        *postgres.DB
	registry  *control.Registry
	tokens    *Tokens
	passwords *Passwords
	ring      *keyring.Keyring // makes the tokens of links and tickets
	proxies   []netip.Prefix   // whose word on who speaks is taken

	identities  *memory.Memory[holder, *identity]
	keys        *memory.Memory[shownKey, *goodKey]
	acting      *memory.Memory[membership, *actingMember]
	baseDomain  string // "": tenants have no host names
	unconfirmed bool   // whether a new address is taken at its word
	now         func() time.Time
}

// NewService makes the service of one server.
func NewService(db *postgres.DB, registry *control.Registry, tokens *Tokens, passwords *Passwords, ring *keyring.Keyring) *Service {
	s := &Service{db: db, registry: registry, tokens: tokens, passwords: passwords, ring: ring, now: time.Now}
	s.identities = s.newIdentities()
	s.keys, s.acting = s.newKeys(), s.newActing()
	return s
}

// Session is what a signed-in client holds.
type Session struct {
	AccessToken  string
	RefreshToken string
	ExpiresAt    time.Time // of the access token
}

// Membership is a tenant that a person may enter.
type Membership struct {
	Tenant *tenant.Tenant
	Role   Role
}

// SignIn is Enter, for who names a tenant or has only one.
//
// Errors: as Enter.
func (s *Service) SignIn(ctx context.Context, slug, email, password string) (*Session, []Membership, error) {
	in, err := s.Enter(ctx, slug, email, password)
	return in.Session, in.Memberships, err
}

// Enter checks a password and begins a session in the tenant of that slug. An
// empty slug stands for the tenant of the host name, and without one for the person's
// only tenant; who has several gets a ticket to choose by. The memberships are returned
// once the password was right, also when no session could begin.
//
// Errors, each naming its field: fault.BadCredential, the same after the same work
// for an unknown address and a wrong password; fault.NotFound for a tenant that is
// unknown or not the person's; fault.TenantNeeded; fault.TenantSuspended. Without a
// field: fault.TenantMismatch.
func (s *Service) Enter(ctx context.Context, slug, email, password string) (Entry, error) {
	slug, err := chosen(ctx, slug)
	if err != nil {
		return Entry{}, err
	}
	account, err := s.checkPassword(ctx, email, password)
	if err != nil {
		return Entry{}, err
	}
	rows, err := s.db.Control().ListMembershipsOfUser(ctx, controlsql.ListMembershipsOfUserParams{UserID: account.User.ID})
	if err != nil {
		return Entry{}, err
	}
	in := Entry{Memberships: toMemberships(rows)}
	at := slices.IndexFunc(in.Memberships, func(m Membership) bool { return m.Tenant.Slug == slug })
	switch {
	case slug == "" && len(rows) == 1:
		at = 0
	case slug == "":
		if len(rows) > 1 {
			if in.Ticket, err = s.newTicket(ctx, account); err != nil {
				return Entry{}, err
			}
		}
		return in, fault.New(fault.TenantNeeded, "Say which tenant to sign in to: the memberships list them.").At("tenant")
	case at < 0:
		return in, notAMember()
	}
	t := in.Memberships[at].Tenant
	if err := agrees(ctx, t.Slug, t.ID.String()); err != nil {
		return Entry{}, err
	}
	if err := control.Serving(t); err != nil {
		return in, fault.At(err, "tenant")
	}
	if rows[at].Tenant.DefaultsAt == nil { // registration was cut off before its last step
		if err := s.registry.EnsureDefaults(ctx, t.ID, account.User.ID); err != nil {
			return Entry{}, err
		}
	}
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := keepCredentials(ctx, q, account); err != nil {
			return err
		}
		in.Session, err = s.begin(ctx, q, account.User.ID, t.ID, rows[at].Membership.Epoch)
		return err
	})
	if err != nil {
		in.Session = nil
	}
	return in, err
}

// checkPassword finds the account of an address whose password this is.
//
// Errors: fault.BadCredential at "password", the same after the same work for an unknown
// address and a wrong password; fault.RateLimited, without that work, for both alike.
func (s *Service) checkPassword(ctx context.Context, email, password string) (account *controlsql.GetUserForSignInRow, err error) {
	email = strings.ToLower(strings.TrimSpace(email))
	tried, err := s.beginTry(ctx, email)
	if err != nil {
		return nil, err
	}
	defer func() {
		if !fault.Is(err, fault.BadCredential) {
			s.endTry(ctx, tried, err == nil)
		}
	}()
	account, err = s.db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: email})
	unknown := postgres.IsNoRows(err) || hasNUL(email)
	if err != nil && !unknown {
		return nil, err
	}
	hash := ""
	if !unknown && strings.HasPrefix(account.PasswordHash, "$argon2id$") { // else nobody can sign in
		hash = account.PasswordHash
	}
	ok, err := s.passwords.Verify(ctx, password, hash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, badCredential()
	}
	if s.passwords.NeedsRehash(hash) {
		if newer, err := s.passwords.Hash(ctx, password); err == nil {
			_ = s.db.Control().SetPasswordHash(ctx, controlsql.SetPasswordHashParams{UserID: account.User.ID, PasswordHash: newer, Version: account.CredentialsVersion}) // next time, then
		}
	}
	return account, nil
}

func badCredential() *fault.Error {
	return fault.New(fault.BadCredential, "The e-mail address or the password is wrong.").At("password")
}

// keepCredentials keeps the password that was checked from changing until the caller's
// transaction ends: whoever changes it ends the sessions that were begun with it, and
// none begins with it afterwards.
//
// Errors: fault.BadCredential where it has changed since.
func keepCredentials(ctx context.Context, q *controlsql.Queries, account *controlsql.GetUserForSignInRow) error {
	_, err := q.LockCredentials(ctx, controlsql.LockCredentialsParams{UserID: account.User.ID, Version: account.CredentialsVersion})
	if postgres.IsNoRows(err) {
		return badCredential()
	}
	return err
}

// begin makes a session and its first tokens in the caller's transaction. epoch is
// that of the membership, as it was when it was looked at. The password was just given.
func (s *Service) begin(ctx context.Context, q *controlsql.Queries, user id.User, t tenant.ID, epoch int64) (*Session, error) {
	return s.beginUntil(ctx, q, user, t, epoch, s.tokens.now().Add(sessionLifetime), true)
}

// beginUntil is begin for a session that has no full life of its own, or in which nobody
// gave the password.
func (s *Service) beginUntil(ctx context.Context, q *controlsql.Queries, user id.User, t tenant.ID, epoch int64, until time.Time, confirmed bool) (*Session, error) {
	session, idle := id.NewSession(), s.tokens.now().Add(sessionIdle)
	if idle.After(until) {
		idle = until
	}
	err := q.CreateSession(ctx, controlsql.CreateSessionParams{
		ID: session, UserID: user, TenantID: t, ExpiresAt: idle, EndsAt: until, UserAgent: clientOf(ctx).userAgent, Confirmed: confirmed,
	})
	if err != nil {
		return nil, err
	}
	random := make([]byte, sha256.Size)
	_, _ = rand.Read(random)
	if err := q.CreateRefreshToken(ctx, controlsql.CreateRefreshTokenParams{TokenHash: digest(random), SessionID: session}); err != nil {
		return nil, err
	}
	if err := control.Record(ctx, q, t, &user, "session.started", session.UUID(), nil); err != nil {
		return nil, err
	}
	return s.issue(holder{session, user, t}, epoch, random)
}

func (s *Service) issue(h holder, epoch int64, refresh []byte) (*Session, error) {
	access, expires, err := s.tokens.Issue(Claims{Session: h.session.String(), User: h.user.String(), Tenant: h.tenant.String(), Epoch: epoch})
	if err != nil {
		return nil, err
	}
	return &Session{AccessToken: access, RefreshToken: formatRefresh(refresh), ExpiresAt: expires}, nil
}

// Refresh exchanges a refresh token for a new session pair. A token is used once;
// used again within ten seconds it answers with the same successor, later it is
// taken for stolen and its whole session ends.
//
// Errors, naming their field: fault.BadCredential, the same for every reason;
// fault.TenantSuspended. Without a field: fault.TenantMismatch, and the token stays as
// it was.
func (s *Service) Refresh(ctx context.Context, token string) (*Session, error) {
	invalid := fault.New(fault.BadCredential, "This refresh token is not valid, or not any more. Sign in again.").At("refreshToken")
	presented, ok := parseRefresh(token)
	if !ok {
		return nil, invalid
	}
	var session *Session
	err := s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		row, err := q.LockRefreshToken(ctx, controlsql.LockRefreshTokenParams{TokenHash: digest(presented)})
		if postgres.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		held := row.Session
		if held.RevokedAt != nil || !held.ExpiresAt.After(row.ReadAt) {
			return nil
		}
		if used := row.RefreshToken.UsedAt; used != nil && row.ReadAt.Sub(*used) > refreshGrace {
			return end(ctx, q, held.ID, "refresh token used twice") // committed, and answered as invalid
		}
		member, err := q.GetActiveMembership(ctx, controlsql.GetActiveMembershipParams{TenantID: held.TenantID, UserID: held.UserID})
		if postgres.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		t, err := q.GetTenant(ctx, controlsql.GetTenantParams{ID: held.TenantID})
		if err != nil {
			return err
		}
		home := control.FromRow(&t.Tenant)
		if err := agrees(ctx, home.Slug, home.ID.String()); err != nil {
			return err
		}
		if err := control.Serving(home); err != nil {
			return fault.At(err, "refreshToken")
		}
		successor, err := s.rotate(ctx, q, presented, row)
		if err != nil {
			return err
		}
		session, err = s.issue(holder{held.ID, held.UserID, held.TenantID}, member.Epoch, successor)
		return err
	})
	if err != nil {
		return nil, err
	}
	if session == nil {
		return nil, invalid
	}
	return session, nil
}

// rotate makes the successor of a token: a MAC under the token itself of a salt
// that only the database has. Who holds the token alone cannot compute it, who
// reads the database alone cannot either, and a retry gets the same one.
func (s *Service) rotate(ctx context.Context, q *controlsql.Queries, presented []byte, row *controlsql.LockRefreshTokenRow) ([]byte, error) {
	if row.RefreshToken.UsedAt != nil {
		return successorOf(presented, row.RefreshToken.SuccessorSalt), nil
	}
	salt := make([]byte, sha256.Size)
	_, _ = rand.Read(salt)
	successor := successorOf(presented, salt)
	if err := q.UseRefreshToken(ctx, controlsql.UseRefreshTokenParams{TokenHash: digest(presented), SuccessorSalt: salt}); err != nil {
		return nil, err
	}
	if err := q.CreateRefreshToken(ctx, controlsql.CreateRefreshTokenParams{TokenHash: digest(successor), SessionID: row.Session.ID}); err != nil {
		return nil, err
	}
	if err := q.ExtendSession(ctx, controlsql.ExtendSessionParams{ID: row.Session.ID, Until: s.tokens.now().Add(sessionIdle)}); err != nil {
		return nil, err
	}
	return successor, control.Record(ctx, q, row.Session.TenantID, &row.Session.UserID, "session.refreshed", row.Session.ID.UUID(), nil)
}

func successorOf(token, salt []byte) []byte {
	mac := hmac.New(sha256.New, token)
	mac.Write(salt)
	return mac.Sum(nil)
}

// SignOut ends the session: here at once, on other servers as soon as they hear of it.
func (s *Service) SignOut(ctx context.Context, session id.Session) error {
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error { return end(ctx, q, session, "signed out") })
}

// end ends a session that has not ended yet, in the caller's transaction.
func end(ctx context.Context, q *controlsql.Queries, session id.Session, why string) error {
	ended, err := q.RevokeSession(ctx, controlsql.RevokeSessionParams{ID: session, RevokedWhy: &why})
	if postgres.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := control.TellOfSession(ctx, q, session); err != nil {
		return err
	}
	return control.Record(ctx, q, ended.TenantID, &ended.UserID, "session.ended", session.UUID(), map[string]any{"why": why})
}

// AddMember gives a new person an account and a membership: how demo tenants get
// their people.
//
// Errors: as Register.
func (s *Service) AddMember(ctx context.Context, t tenant.ID, email, password, displayName string, role Role) (id.User, error) {
	email, err := cleanEmail(email)
	if err != nil {
		return id.User{}, err
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return id.User{}, err
	}
	var user id.User
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if user, err = createUser(ctx, q, email, displayName, hash); err != nil {
			return err
		}
		member, err := q.CreateMembership(ctx, controlsql.CreateMembershipParams{TenantID: t, ID: id.NewMember(), UserID: user, Role: string(role)})
		if err != nil {
			return err
		}
		return control.Record(ctx, q, t, nil, "member.added", member.ID.UUID(), map[string]any{"role": role})
	})
	return user, err
}

func createUser(ctx context.Context, q *controlsql.Queries, email, name, hash string) (id.User, error) {
	user := id.NewUser()
	return user, storeUser(ctx, q, user, email, name, hash)
}

func storeUser(ctx context.Context, q *controlsql.Queries, user id.User, email, name, hash string) error {
	_, err := q.CreateUser(ctx, controlsql.CreateUserParams{ID: user, Email: email, DisplayName: name})
	if postgres.Constraint(err) == "users_email_key" { // since the look before
		return fault.New(fault.Conflict, "An account of this address was made a moment ago. Try again.").At("email")
	}
	if err != nil {
		return err
	}
	return q.CreateUserCredentials(ctx, controlsql.CreateUserCredentialsParams{UserID: user, PasswordHash: hash})
}

// cleanEmail takes in an address in lower case.
func cleanEmail(s string) (string, error) {
	s, err := text.Email(s)
	return strings.ToLower(s), fault.At(err, "email")
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

const refreshPrefix = "chr_"

func formatRefresh(token []byte) string {
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(token)
}

func parseRefresh(token string) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return raw, err == nil && len(raw) == sha256.Size
}

func digest(token []byte) []byte { sum := sha256.Sum256(token); return sum[:] }
