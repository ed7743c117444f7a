package auth

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// registrationPurpose is what keyring.Keyring makes the tokens of registrations for.
const registrationPurpose = "registration"

// Registration is a tenant to come and its first owner.
type Registration struct {
	Tenant      control.Registration
	Email       string
	Password    string
	DisplayName string
}

// validate normalises the registration and names every field that is wrong.
func (r *Registration) validate() error {
	errs := r.Tenant.Validate()
	email, err := cleanEmail(r.Email)
	errs = append(errs, err)
	name, err := text.Line("The display name", r.DisplayName, 1, 100)
	errs = append(errs, fault.At(err, "displayName"), CheckNewPassword(r.Password))
	r.Email, r.DisplayName = email, name
	return errors.Join(errs...)
}

// SelfConfirming lets RegisterTenant take a new address at its word, so that who tries the
// program needs no mailbox. It belongs to the start of a server that nobody else reaches.
func (s *Service) SelfConfirming() { s.unconfirmed = true }

// TenantRequest is what somebody asks a tenant with.
type TenantRequest struct {
	Tenant control.Registration
	// Of the owner, where nobody is signed in; else nil.
	Email, Password, DisplayName *string
}

// Registered is what became of a request.
type Registered struct {
	Tenant  *tenant.Tenant // nil: a mail was sent, to confirm the address by
	Session *Session       // in the tenant
}

// RegisterTenant makes a tenant for who is signed in. Of anybody else it keeps for a day
// what a tenant is to be made of, for ConfirmRegistration, and sends a link to the address.
// It answers alike, after the same statements and as many hashes, for an address that has
// an account and one that has none.
//
// Errors, each naming its field: fault.Invalid, all fields at once; fault.Taken at slug,
// for a reserved one too. Without a field: fault.TenantMismatch at the host of another
// tenant; fault.RateLimited; fault.Unauthenticated where the session has ended.
func (s *Service) RegisterTenant(ctx context.Context, r TenantRequest) (Registered, error) {
	if caller, err := FromContext(ctx); err == nil {
		return s.registerFurther(ctx, caller, r)
	}
	return s.registerByMail(ctx, r)
}

// registerFurther makes a tenant for the person of p, who has shown who they are. The
// session in it ends no later than that of p, as with SwitchTenant.
func (s *Service) registerFurther(ctx context.Context, p *Principal, r TenantRequest) (Registered, error) {
	errs := r.Tenant.Validate()
	for _, field := range []struct {
		name  string
		given *string
	}{{"email", r.Email}, {"password", r.Password}, {"displayName", r.DisplayName}} {
		if field.given != nil {
			errs = append(errs, fault.New(fault.Invalid, "You are signed in: the tenant is made for your account as it is. Leave this out, or ask without an access token.").At(field.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Registered{}, err
	}
	if err := s.mayRegister(ctx, r.Tenant.Slug); err != nil {
		return Registered{}, err
	}
	var made Registered
	err := s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := s.countAttempt(ctx, q, tenantsOfAccount, s.attemptKey(tenantsOfAccount, p.User.ID.String())); err != nil {
			return err
		}
		until, err := lockedUntil(ctx, q, p.Session, p.User.ID)
		if err != nil {
			return err
		}
		if made.Tenant, err = makeTenant(ctx, q, r.Tenant, p.User.ID, p.User.Email, p.User.DisplayName); err != nil {
			return err
		}
		made.Session, err = s.beginUntil(ctx, q, p.User.ID, made.Tenant.ID, 1, until, false)
		return err
	})
	if err != nil {
		return Registered{}, err
	}
	s.furnish(ctx, made.Tenant, p.User.ID)
	return made, nil
}

func (s *Service) registerByMail(ctx context.Context, asked TenantRequest) (Registered, error) {
	r := Registration{Tenant: asked.Tenant}
	for _, field := range []struct{ given, into *string }{{asked.Email, &r.Email}, {asked.Password, &r.Password}, {asked.DisplayName, &r.DisplayName}} {
		if field.given != nil {
			*field.into = *field.given
		}
	}
	if err := r.validate(); err != nil {
		return Registered{}, err
	}
	if err := s.mayRegister(ctx, r.Tenant.Slug); err != nil {
		return Registered{}, err
	}
	if s.unconfirmed {
		_, err := s.db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: r.Email})
		if postgres.IsNoRows(err) {
			made, session, err := s.Register(ctx, r)
			return Registered{Tenant: made, Session: session}, err
		}
		if err != nil {
			return Registered{}, err
		}
	}
	hash, err := s.passwords.Hash(ctx, r.Password)
	if err != nil {
		return Registered{}, err
	}
	link := id.New()
	return Registered{}, s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := s.countRegistration(ctx, q, r.Email); err != nil {
			return err
		}
		kept, err := q.CreateRegistration(ctx, controlsql.CreateRegistrationParams{
			ID: link, Email: r.Email, DisplayName: r.DisplayName, PasswordHash: &hash,
			TenantName: r.Tenant.Name, Slug: r.Tenant.Slug, CurrencyCode: r.Tenant.Currency,
		})
		if err != nil {
			return err
		}
		template := job.ConfirmRegistration
		if kept.HasAccount {
			template = job.AlreadyRegistered
		}
		if err := job.Send(ctx, q, job.Mail{
			Template: template, To: r.Email, Tenant: r.Tenant.Name, Until: kept.ExpiresAt,
			Link: &job.Link{Path: job.PathConfirm, Purpose: registrationPurpose, ID: link},
		}); err != nil {
			return err
		}
		if err := q.DeleteOldRegistrations(ctx); err != nil {
			return err
		}
		return q.DeleteOldAttempts(ctx)
	})
}

// countRegistration counts a registration that a mail tells an address of: first by the
// network that asks too, so that somebody who asks from one place for an address that is not
// theirs does not hold up who has it.
//
// Errors: as countAttempt.
func (s *Service) countRegistration(ctx context.Context, q *controlsql.Queries, email string) error {
	device := s.attemptKey(registrationsOfDevice, email, clientOf(ctx).network)
	if _, err := s.countAttempt(ctx, q, registrationsOfDevice, device); err != nil {
		return err
	}
	_, err := s.countAttempt(ctx, q, registrationsOfAddress, s.attemptKey(registrationsOfAddress, email))
	return err
}

// mayRegister is what stands before every registration, whoever's it is. A slug in use is
// told before the address is looked at, so that it tells nothing of that.
//
// Errors: those of RegisterTenant.
func (s *Service) mayRegister(ctx context.Context, slug string) error {
	if err := agrees(ctx, slug, ""); err != nil {
		return err
	}
	if err := s.countNetwork(ctx, registrationsOfNetwork); err != nil {
		return err
	}
	return s.slugIsFree(ctx, slug)
}

// slugIsFree asks who has a slug.
//
// Errors: fault.Taken at slug.
func (s *Service) slugIsFree(ctx context.Context, slug string) error {
	_, err := s.registry.BySlug(ctx, slug)
	if err == nil {
		return control.SlugTaken()
	}
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// SlugAvailable tells whether a tenant could be registered under a slug now. Which slugs
// there are is no secret; that a list of them takes long is what the limit is for.
//
// Errors: fault.RateLimited.
func (s *Service) SlugAvailable(ctx context.Context, slug string) (bool, error) {
	if control.CheckSlug(slug) != nil {
		return false, nil //nolint:nilerr // no tenant can have it
	}
	if err := s.countNetwork(ctx, slugsOfNetwork); err != nil {
		return false, err
	}
	err := s.slugIsFree(ctx, slug)
	if fault.Is(err, fault.Taken) {
		return false, nil
	}
	return err == nil, err
}

// Confirmation is what somebody follows the link of a registration with.
type Confirmation struct {
	Token    string  // of the link
	Password *string // of the registration: needed where the address has no account
	Slug     *string // in the place of the one that was asked for; nil: that one
}

// ConfirmRegistration makes the tenant of a registration whose link came to its address:
// with an account of that address and a session, or for the account that the address has
// by now. That one keeps its password and its name, and no session begins: a mailbox is no
// password. Nor is a password a mailbox: an account is made for who shows both, so that
// nobody who follows the link of a stranger gets one whose password the stranger chose. A
// link that was used shows the tenant that it made, and does nothing.
//
// All of it happens or nothing. A refused slug or password does not use the link up.
//
// Errors, each naming its field: fault.BadCredential at token, the same for every reason,
// and at password; fault.Invalid and fault.Taken at slug. Without a field:
// fault.TenantMismatch; fault.RateLimited for other slugs, and for guesses.
func (s *Service) ConfirmRegistration(ctx context.Context, c Confirmation) (Registered, error) {
	if c.Slug != nil {
		if err := control.CheckSlug(*c.Slug); err != nil {
			return Registered{}, err
		}
		if err := s.countNetwork(ctx, slugsOfNetwork); err != nil {
			return Registered{}, err
		}
	}
	of, ok := s.ring.ParseToken(registrationPurpose, c.Token)
	if !ok {
		of = uuid.Nil // which no registration has, and is looked for all the same
	}
	proven, err := s.proveRegistrant(ctx, of, c.Password)
	if err != nil {
		return Registered{}, err
	}
	var made Registered
	var owner *controlsql.User
	used := false
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		made = Registered{}
		held, err := q.LockRegistration(ctx, controlsql.LockRegistrationParams{ID: of})
		if postgres.IsNoRows(err) {
			return noRegistration()
		}
		if err != nil {
			return err
		}
		if used = held.BecameID != nil; used {
			made.Tenant, err = shownAgain(ctx, q, *held.BecameID)
			return err
		}
		r := control.Registration{Name: held.TenantName, Slug: held.Slug, Currency: held.CurrencyCode}
		if c.Slug != nil {
			r.Slug = *c.Slug
		}
		if err := cmp.Or(control.CheckSlug(r.Slug), agrees(ctx, r.Slug, "")); err != nil {
			return err
		}
		var fresh bool
		if owner, fresh, err = ownerOf(ctx, q, held); err != nil {
			return err
		}
		if fresh && !proven {
			return notTheRegistrants()
		}
		if made.Tenant, err = makeTenant(ctx, q, r, owner.ID, owner.Email, owner.DisplayName); err != nil {
			return err
		}
		if err := q.UseRegistration(ctx, controlsql.UseRegistrationParams{ID: of, BecameID: &made.Tenant.ID}); err != nil {
			return err
		}
		if fresh {
			made.Session, err = s.begin(ctx, q, owner.ID, made.Tenant.ID, 1)
		}
		return err
	})
	if err != nil {
		return Registered{}, err
	}
	if !used {
		s.furnish(ctx, made.Tenant, owner.ID)
	}
	return made, nil
}

// proveRegistrant tells whether this is the password that a registration was made with.
// False where none was given, or none is needed: the address has an account.
//
// Errors: those of ConfirmRegistration at token and password.
func (s *Service) proveRegistrant(ctx context.Context, of uuid.UUID, password *string) (proven bool, err error) {
	held, err := s.db.Control().GetRegistration(ctx, controlsql.GetRegistrationParams{ID: of})
	if postgres.IsNoRows(err) {
		return false, noRegistration()
	}
	if err != nil || held.HasAccount || held.PasswordHash == nil || password == nil {
		return false, err
	}
	tried, err := s.beginTry(ctx, held.Email)
	if err != nil {
		return false, err
	}
	if proven, err = s.passwords.Verify(ctx, *password, *held.PasswordHash); err == nil && !proven {
		return false, notTheRegistrants()
	}
	s.endTry(ctx, tried, err == nil)
	return proven, err
}

func notTheRegistrants() error {
	return fault.New(fault.BadCredential, "Give the password that you registered with. If you did not register, do nothing.").At("password")
}

func noRegistration() error {
	return fault.New(fault.BadCredential, "This link is not valid, or not any more. It works for a day. Register again.").At("token")
}

// shownAgain is the tenant that a link has made before.
func shownAgain(ctx context.Context, q *controlsql.Queries, made tenant.ID) (*tenant.Tenant, error) {
	row, err := q.GetTenant(ctx, controlsql.GetTenantParams{ID: made})
	if err != nil {
		return nil, err
	}
	t := control.FromRow(&row.Tenant)
	return t, agrees(ctx, t.Slug, t.ID.String())
}

// ownerOf is the account that a registration is for: that of its address, or else a new
// one, with the password that was given. One that is being made at this moment counts.
func ownerOf(ctx context.Context, q *controlsql.Queries, held *controlsql.Registration) (owner *controlsql.User, fresh bool, err error) {
	find := func() (*controlsql.User, bool, error) {
		owner, err := q.LockUserOfEmail(ctx, controlsql.LockUserOfEmailParams{Email: held.Email})
		return owner, false, err
	}
	if owner, _, err = find(); !postgres.IsNoRows(err) {
		return owner, false, err
	}
	owner, err = q.CreateUserOfEmail(ctx, controlsql.CreateUserOfEmailParams{ID: id.NewUser(), Email: held.Email, DisplayName: held.DisplayName})
	if postgres.IsNoRows(err) {
		return find()
	}
	if err != nil {
		return nil, false, err
	}
	return owner, true, q.CreateUserCredentials(ctx, controlsql.CreateUserCredentialsParams{UserID: owner.ID, PasswordHash: *held.PasswordHash})
}

// makeTenant makes a tenant for an owner in the caller's transaction: tenant, membership,
// placement, door, the record of it and the mail that welcomes the owner.
//
// Errors: fault.Taken at slug.
func makeTenant(ctx context.Context, q *controlsql.Queries, r control.Registration, owner id.User, email, name string) (*tenant.Tenant, error) {
	made, err := control.Register(ctx, q, r, owner)
	if err != nil {
		return nil, err
	}
	if err := control.Record(ctx, q, made.ID, &owner, "tenant.registered", made.ID.UUID(), map[string]any{"slug": made.Slug, "name": made.Name}); err != nil {
		return nil, err
	}
	return made, job.Send(ctx, q, job.Mail{Template: job.Welcome, To: email, Tenant: made.Name, Name: name, Home: made.ID.UUID()})
}

// furnish gives a new tenant what every tenant starts with. The tenant stands: should this
// fail, the next sign-in does it.
func (s *Service) furnish(ctx context.Context, made *tenant.Tenant, owner id.User) {
	_ = s.registry.EnsureDefaults(ctx, made.ID, owner)
}

// Register makes a tenant with its owner at once and signs the owner in, all in one
// transaction: for who makes tenants by other means than the API, and for a server that is
// SelfConfirming. A person who has an account already shows its password and gets a
// further tenant; so this tells who has one, and strangers are not let near it.
//
// Errors, each naming its field: fault.Invalid, all fields at once; fault.Taken at
// slug, for a reserved one too; fault.BadCredential at password for an account that is
// not the caller's. Without a field: fault.TenantMismatch at the host of another tenant.
func (s *Service) Register(ctx context.Context, r Registration) (*tenant.Tenant, *Session, error) {
	if err := r.validate(); err != nil {
		return nil, nil, err
	}
	if err := agrees(ctx, r.Tenant.Slug, ""); err != nil {
		return nil, nil, err
	}
	if err := s.slugIsFree(ctx, r.Tenant.Slug); err != nil {
		return nil, nil, err
	}
	known, err := s.db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: r.Email})
	if err != nil && !postgres.IsNoRows(err) {
		return nil, nil, err
	}
	hash, name := "", r.DisplayName
	if known != nil && err == nil {
		if _, err := s.checkPassword(ctx, r.Email, r.Password); err != nil {
			return nil, nil, err
		}
	} else if hash, err = s.passwords.Hash(ctx, r.Password); err != nil {
		return nil, nil, err
	}
	var made *tenant.Tenant
	var session *Session
	var owner id.User
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if hash == "" {
			if err := keepCredentials(ctx, q, known); err != nil {
				return err
			}
			owner, name = known.User.ID, known.User.DisplayName
		} else if owner, err = createUser(ctx, q, r.Email, name, hash); err != nil {
			return err
		}
		if made, err = makeTenant(ctx, q, r.Tenant, owner, r.Email, name); err != nil {
			return err
		}
		session, err = s.begin(ctx, q, owner, made.ID, 1)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s.furnish(ctx, made, owner)
	return made, session, nil
}
