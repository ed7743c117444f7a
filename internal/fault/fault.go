// Package fault holds the coded errors of Commonhold. An error carries a code
// where its meaning is known; from there on it is only wrapped, and it is shown
// once, by the GraphQL presenter or the command line.
package fault

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Code names a kind of error. Codes are part of the public contract: they are
// what clients and scripts branch on, so a code is never renamed or reused.
type Code string

// What a correct client can meet. In a mutation these become user errors beside
// a null entity.
const (
	NotFound      Code = "NOT_FOUND"     // no such thing, or not in this tenant: the two are answered alike
	Invalid       Code = "INVALID"       // a value outside its bounds
	Conflict      Code = "CONFLICT"      // another write was there first
	Taken         Code = "TAKEN"         // a unique value is in use in this tenant
	StaleVersion  Code = "STALE_VERSION" // the entity changed since the caller read it
	InUse         Code = "IN_USE"        // something else still refers to it
	OutOfStock    Code = "OUT_OF_STOCK"  // fewer are there than were asked for
	WrongStatus   Code = "WRONG_STATUS"  // the status of the entity does not allow it
	BadCredential Code = "BAD_CREDENTIALS"
	LastOwner     Code = "LAST_OWNER"      // the tenant would have nobody left who may do everything
	LimitReached  Code = "LIMIT_REACHED"   // as many as there may be, or as often: wait, or take some away
	TenantNeeded  Code = "TENANT_REQUIRED" // the person has several memberships and named none

	ScopeNotAllowed Code = "SCOPE_NOT_ALLOWED" // a permission that the caller lacks, or that no API key may have
)

// What no answer can be given to: GraphQL errors with extensions.code.
const (
	BadRequest      Code = "BAD_REQUEST"
	Unauthenticated Code = "UNAUTHENTICATED"
	Forbidden       Code = "FORBIDDEN"
	Reauthenticate  Code = "REAUTHENTICATE" // the password must be given again first
	TenantSuspended Code = "TENANT_SUSPENDED"
	TenantReadOnly  Code = "TENANT_READ_ONLY" // the tenant can be read and not changed
	TenantMismatch  Code = "TENANT_MISMATCH"  // the request means another tenant than its credential
	TenantMoved     Code = "TENANT_MOVED"     // the door refused twice: the tenant is between two homes
	TooComplex      Code = "QUERY_TOO_COMPLEX"
	TooLarge        Code = "REQUEST_TOO_LARGE"
	RateLimited     Code = "RATE_LIMITED"
	Timeout         Code = "TIMEOUT"
	Canceled        Code = "CANCELED"
	Unavailable     Code = "UNAVAILABLE" // a dependency is down or saturated: try again
	Internal        Code = "INTERNAL"

	DocumentNotFound   Code = "PERSISTED_QUERY_NOT_FOUND" // the name is that of Apollo's protocol
	DocumentNotTrusted Code = "DOCUMENT_NOT_TRUSTED"
)

// IsUserError tells a code that a correct client can meet: the schema names it among
// the codes of each mutation that can.
func (c Code) IsUserError() bool {
	switch c {
	case NotFound, Invalid, Conflict, Taken, StaleVersion, InUse, OutOfStock, WrongStatus, BadCredential, LastOwner, LimitReached, ScopeNotAllowed, TenantNeeded, TenantSuspended:
		return true
	}
	return false
}

// What stands between an operator and a running server.
const (
	Usage             Code = "USAGE"              // a wrong flag or argument
	Config            Code = "CONFIG"             // a setting is missing or contradicts another
	AddressInUse      Code = "ADDRESS_IN_USE"     // another process listens there
	PostgresNotFound  Code = "POSTGRES_NOT_FOUND" // no PostgreSQL binaries on this machine
	PostgresTooOld    Code = "POSTGRES_TOO_OLD"   // below the oldest supported major version
	PostgresStart     Code = "POSTGRES_START"     // the embedded PostgreSQL did not start
	DataDirectory     Code = "DATA_DIRECTORY"     // the data directory cannot be used as it is
	DiskFull          Code = "DISK_FULL"          // no space left
	DatabaseDown      Code = "DATABASE_DOWN"      // the database does not answer
	NotMigrated       Code = "NOT_MIGRATED"       // the schema is older than this binary serves
	SchemaTooNew      Code = "SCHEMA_TOO_NEW"     // the schema is newer than this binary serves
	MissingPrivileges Code = "MISSING_PRIVILEGES" // the role may not do what the command needs
	MailNotSent       Code = "MAIL_NOT_SENT"      // a mail was not taken, now or for good
	WallBroken        Code = "WALL_BROKEN"        // doctor found an isolation rule that does not hold
)

// Error is an error with a code and a message written for the person who meets
// it: what is wrong and what to do. The message never holds a secret, an id that
// the caller sent, or the text of the cause.
type Error struct {
	Code    Code
	Message string
	Field   []string // path of the offending input field, outermost first; nil where none is to blame
	Cause   error    // logged, never shown

	RetryAfter time.Duration // when trying again is worth it; 0: nothing is said
}

// New makes a coded error.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At names the input field that is to blame.
func (e *Error) At(field ...string) *Error {
	e.Field = field
	return e
}

// After says when to try again, in whole seconds.
func (e *Error) After(wait time.Duration) *Error {
	e.RetryAfter = max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
	return e
}

// Because keeps the cause for the log.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// CodeOf is the code of the outermost coded error in err's chain, Internal where
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if coded, ok := errors.AsType[*Error](err); ok {
		return coded.Code
	}
	return Internal
}

// Is tells whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// At says that the input field is to blame for err, or for a part of err that
// lies inside that field. An error without a code passes as it is, and so does nil.
func At(err error, field ...string) error {
	coded, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	located := *coded
	located.Field = slices.Concat(field, coded.Field)
	return &located
}
