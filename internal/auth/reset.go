package auth

import (
	"context"
	"errors"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// What the links are for: a token of one opens nothing of the other.
	resetPurpose = job.PurposeReset
	emailPurpose = "email change"

	linkTime = 30 * time.Minute // for a link to be used
)

// RequestPasswordReset sends a link to whoever has an account of that address. It
// answers alike, after the same statements, where nobody has, and where the last link
// was sent a moment ago: that one is good still. It changes nothing that anybody may do,
// so its entry in the log is that of ResetPassword.
//
// Errors: fault.Invalid at "email" for what is no address; fault.RateLimited.
func (s *Service) RequestPasswordReset(ctx context.Context, email string) error {
	email, err := cleanEmail(email)
	if err != nil {
		return err
	}
	link, until := id.New(), s.tokens.now().Add(linkTime)
	if err := s.countNetwork(ctx, resetsOfNetwork); err != nil {
		return err
	}
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := s.countAttempt(ctx, q, resetsOfAddress, s.attemptKey(resetsOfAddress, email)); err != nil {
			return err
		}
		name := email // of a mail that is not sent
		account, err := q.GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: email})
		if err == nil {
			name = account.User.DisplayName
		} else if !postgres.IsNoRows(err) {
			return err
		}
		if err := q.DeleteOldMailLinks(ctx, controlsql.DeleteOldMailLinksParams{Email: email}); err != nil {
			return err
		}
		if err := q.CreateMailLink(ctx, controlsql.CreateMailLinkParams{ID: link, Purpose: resetPurpose, Email: email, ExpiresAt: until}); err != nil {
			return err
		}
		if err := job.SendIfNoted(ctx, q, job.Mail{
			Template: job.PasswordReset, To: email, Name: name, Until: until,
			Link: &job.Link{Path: job.PathReset, Purpose: resetPurpose, ID: link},
		}); err != nil {
			return err
		}
		return q.DeleteOldAttempts(ctx)
	})
	if fault.Is(err, fault.RateLimited) {
		return nil // whoever has the mail of before can use it
	}
	return err
}

// ResetPassword makes another password that of the person whom a link was sent to. The
// link works once; all sessions of the person end, in all tenants.
//
// Errors, naming their field: fault.Invalid for the password; fault.BadCredential for a
// token, the same for every reason.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	if err := checkNewPassword(password, "newPassword"); err != nil {
		return err
	}
	return s.useLink(ctx, resetPurpose, token, func(ctx context.Context) (func(*controlsql.Queries, *controlsql.User, string) error, error) {
		hash, err := s.passwords.Hash(ctx, password)
		if err != nil {
			return nil, err
		}
		return func(q *controlsql.Queries, user *controlsql.User, _ string) error {
			return setPassword(ctx, q, user, hash, id.Session{}, "user.password_reset")
		}, nil
	})
}

// ChangePassword makes another password that of the person of p. All other sessions of
// the person end, in all tenants.
//
// Errors, naming their field: fault.Invalid for the new password; those of checking a
// password, for the present one.
func (s *Service) ChangePassword(ctx context.Context, p *Principal, current, password string) error {
	if err := checkNewPassword(password, "newPassword"); err != nil {
		return err
	}
	account, err := s.checkPassword(ctx, p.User.Email, current)
	if err != nil {
		return notThePassword(err, "currentPassword")
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		user, err := q.LockUser(ctx, controlsql.LockUserParams{ID: p.User.ID})
		if err != nil {
			return err
		}
		if err := keepCredentials(ctx, q, account); err != nil {
			return notThePassword(err, "currentPassword")
		}
		return setPassword(ctx, q, user, hash, p.Session, "user.password_changed")
	})
}

// setPassword is the one place where somebody's password becomes another: their other
// sessions end, links that were sent before open nothing, and a mail says so. The caller
// has locked the person.
func setPassword(ctx context.Context, q *controlsql.Queries, user *controlsql.User, hash string, kept id.Session, action string) error {
	if err := q.SetPassword(ctx, controlsql.SetPasswordParams{UserID: user.ID, PasswordHash: hash}); err != nil {
		return err
	}
	if err := q.UseMailLinksOfUser(ctx, controlsql.UseMailLinksOfUserParams{UserID: user.ID}); err != nil {
		return err
	}
	if _, err := endAll(ctx, q, user.ID, kept, "password changed"); err != nil {
		return err
	}
	if err := recordAccount(ctx, q, user.ID, action); err != nil {
		return err
	}
	return job.Send(ctx, q, job.Mail{Template: job.PasswordChanged, To: user.Email, Name: user.DisplayName})
}

// RequestEmailChange sends a link to an address that is to be the one of the person of
// p, and a notice to the present one. It answers alike where somebody has that address:
// who follows the link finds it not valid. password may be nil where it was given in
// this session a short time ago.
//
// Errors, naming their field: fault.Invalid for the address; those of checking a
// password. Without a field: fault.Reauthenticate, fault.RateLimited.
func (s *Service) RequestEmailChange(ctx context.Context, p *Principal, email string, password *string) error {
	email, err := cleanEmail(email)
	if err != nil {
		return fault.At(withoutField(err), "newEmail")
	}
	if email == p.User.Email {
		return fault.New(fault.Invalid, "This is the address of your account already. Give another one.").At("newEmail")
	}
	if password == nil {
		_, err = s.RequireRecent(ctx)
	} else {
		_, err = s.checkPassword(ctx, p.User.Email, *password)
	}
	if err != nil {
		return notThePassword(err, "password")
	}
	link, until := id.New(), s.tokens.now().Add(linkTime)
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := s.countAttempt(ctx, q, emailChanges, s.attemptKey(emailChanges, p.User.ID.String())); err != nil {
			return err
		}
		user, err := q.LockUser(ctx, controlsql.LockUserParams{ID: p.User.ID})
		if err != nil {
			return err
		}
		if err := q.DeleteOldMailLinks(ctx, controlsql.DeleteOldMailLinksParams{Email: user.Email}); err != nil {
			return err
		}
		if err := q.CreateMailLinkOfUser(ctx, controlsql.CreateMailLinkOfUserParams{ID: link, Purpose: emailPurpose, UserID: user.ID, Email: email, ExpiresAt: until}); err != nil {
			return err
		}
		if err := job.Send(ctx, q, job.Mail{
			Template: job.ConfirmEmail, To: email, Name: user.DisplayName, Until: until,
			Link: &job.Link{Path: job.PathEmail, Purpose: emailPurpose, ID: link},
		}); err != nil {
			return err
		}
		if err := job.Send(ctx, q, job.Mail{Template: job.EmailChange, To: user.Email, Name: user.DisplayName, NewEmail: email}); err != nil {
			return err
		}
		return recordAccount(ctx, q, user.ID, "user.email_change_requested")
	})
}

// ConfirmEmailChange makes the address that a link was sent to that of the person who
// asked for it. The link works once; all sessions of the person end, in all tenants.
//
// Errors: fault.BadCredential at "token", the same for every reason, an address that
// somebody has by now among them.
func (s *Service) ConfirmEmailChange(ctx context.Context, token string) error {
	return s.useLink(ctx, emailPurpose, token, func(context.Context) (func(*controlsql.Queries, *controlsql.User, string) error, error) {
		return func(q *controlsql.Queries, user *controlsql.User, email string) error {
			err := q.SetUserEmail(ctx, controlsql.SetUserEmailParams{ID: user.ID, Email: email})
			if postgres.Constraint(err) == "users_email_key" {
				return badLink()
			}
			if err != nil {
				return err
			}
			if err := control.TellOfUser(ctx, q, user.ID); err != nil {
				return err
			}
			if err := q.UseMailLinksOfUser(ctx, controlsql.UseMailLinksOfUserParams{UserID: user.ID}); err != nil {
				return err
			}
			if _, err := endAll(ctx, q, user.ID, id.Session{}, "e-mail address changed"); err != nil {
				return err
			}
			return recordAccount(ctx, q, user.ID, "user.email_changed")
		}, nil
	})
}

// useLink uses a link up, in one transaction with what it is for. prepare runs before
// it, for a token that is worth the work; what it returns is given the person, locked,
// and the address that the link was sent to.
//
// Errors: fault.BadCredential at "token".
func (s *Service) useLink(ctx context.Context, purpose, token string, prepare func(context.Context) (func(*controlsql.Queries, *controlsql.User, string) error, error)) error {
	link, ok := s.ring.ParseToken(purpose, token)
	if !ok {
		return badLink()
	}
	held, err := s.db.Control().GetMailLink(ctx, controlsql.GetMailLinkParams{ID: link, Purpose: purpose})
	if err != nil {
		return orBadLink(err)
	}
	use, err := prepare(ctx)
	if err != nil {
		return err
	}
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		user, err := q.LockUser(ctx, controlsql.LockUserParams{ID: held.UserID}) // before the link, as everybody does
		if err != nil {
			return orBadLink(err)
		}
		used, err := q.UseMailLink(ctx, controlsql.UseMailLinkParams{ID: link, Purpose: purpose})
		if err != nil {
			return orBadLink(err)
		}
		return use(q, user, used.Email)
	})
}

func badLink() *fault.Error {
	return fault.New(fault.BadCredential, "This link is not valid, or not any more. Each works once, for half an hour. Ask for a new one.").At("token")
}

func orBadLink(err error) error {
	if postgres.IsNoRows(err) {
		return badLink()
	}
	return err
}

// recordAccount writes into the log of each tenant that a person is a member of what
// became of their account, which is the way into all of them.
func recordAccount(ctx context.Context, q *controlsql.Queries, user id.User, action string) error {
	rows, err := q.ListMembershipsOfUser(ctx, controlsql.ListMembershipsOfUserParams{UserID: user})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := control.Record(ctx, q, row.Membership.TenantID, &user, action, user.UUID(), nil); err != nil {
			return err
		}
	}
	return nil
}

// checkNewPassword is CheckNewPassword for a field of another name.
func checkNewPassword(password, field string) error {
	return fault.At(withoutField(CheckNewPassword(password)), field)
}

// notThePassword says which field a wrong password stands in.
func notThePassword(err error, field string) error {
	if !fault.Is(err, fault.BadCredential) {
		return err
	}
	return fault.New(fault.BadCredential, "This is not the password of your account.").At(field)
}

func withoutField(err error) error {
	coded, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	bare := *coded
	return bare.At()
}
