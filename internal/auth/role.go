package auth

import (
	"io"
	"slices"
	"strconv"

	"github.com/commonhold/commonhold/internal/fault"
)

// Role is what a member may be in one tenant, in the text that memberships
// store and GraphQL shows. The zero value and any text that is not one of the
// four hold no permission at all.
type Role string

// The roles, strongest first. Each holds everything that the next one holds.
const (
	RoleOwner  Role = "OWNER"
	RoleAdmin  Role = "ADMIN"
	RoleMember Role = "MEMBER"
	RoleViewer Role = "VIEWER"
)

// Permission is one thing a role may do. The texts are the values of the
// GraphQL enum Permission, which @requires names.
type Permission string

// The permissions of a tenant.
const (
	PermissionProductsRead    Permission = "PRODUCTS_READ"
	PermissionProductsWrite   Permission = "PRODUCTS_WRITE"
	PermissionCategoriesRead  Permission = "CATEGORIES_READ"
	PermissionCategoriesWrite Permission = "CATEGORIES_WRITE"
	PermissionCustomersRead   Permission = "CUSTOMERS_READ"
	PermissionCustomersWrite  Permission = "CUSTOMERS_WRITE"
	PermissionOrdersRead      Permission = "ORDERS_READ"
	PermissionOrdersWrite     Permission = "ORDERS_WRITE"
	PermissionMembersRead     Permission = "MEMBERS_READ"
	PermissionMembersWrite    Permission = "MEMBERS_WRITE"
	PermissionTenantRead      Permission = "TENANT_READ"
	PermissionTenantWrite     Permission = "TENANT_WRITE"
	PermissionAuditRead       Permission = "AUDIT_READ"
	PermissionAPIKeysRead     Permission = "API_KEYS_READ"  //nolint:gosec // a name
	PermissionAPIKeysWrite    Permission = "API_KEYS_WRITE" //nolint:gosec // a name
)

// granted is written out role by role, so that what a role may do is read in one
// place. The order within a set is the order that Permissions answers in.
var granted = map[Role][]Permission{
	RoleOwner: {
		PermissionProductsRead, PermissionProductsWrite,
		PermissionCategoriesRead, PermissionCategoriesWrite,
		PermissionCustomersRead, PermissionCustomersWrite,
		PermissionOrdersRead, PermissionOrdersWrite,
		PermissionMembersRead, PermissionMembersWrite,
		PermissionTenantRead, PermissionTenantWrite,
		PermissionAuditRead,
		PermissionAPIKeysRead, PermissionAPIKeysWrite,
	},
	RoleAdmin: {
		PermissionProductsRead, PermissionProductsWrite,
		PermissionCategoriesRead, PermissionCategoriesWrite,
		PermissionCustomersRead, PermissionCustomersWrite,
		PermissionOrdersRead, PermissionOrdersWrite,
		PermissionMembersRead, PermissionMembersWrite,
		PermissionTenantRead,
		PermissionAuditRead,
		PermissionAPIKeysRead, PermissionAPIKeysWrite,
	},
	RoleMember: {
		PermissionProductsRead, PermissionProductsWrite,
		PermissionCategoriesRead, PermissionCategoriesWrite,
		PermissionCustomersRead, PermissionCustomersWrite,
		PermissionOrdersRead, PermissionOrdersWrite,
		PermissionMembersRead,
		PermissionTenantRead,
	},
	RoleViewer: {
		PermissionProductsRead,
		PermissionCategoriesRead,
		PermissionCustomersRead,
		PermissionOrdersRead,
		PermissionMembersRead,
		PermissionTenantRead,
	},
}

// ParseRole reads the text of a role, to the letter. Anything else is
// fault.Invalid at field "role"; where the text came from the database and not
// from a person, the caller wraps it as what it is, a broken row.
func ParseRole(text string) (Role, error) {
	role := Role(text)
	if !role.known() {
		return "", fault.New(fault.Invalid, "There is no such role. Choose OWNER, ADMIN, MEMBER or VIEWER.").At("role")
	}
	return role, nil
}

// Can tells whether the role holds the permission. A role or permission that
// does not exist is answered with false.
func (r Role) Can(p Permission) bool {
	return slices.Contains(granted[r], p)
}

// Permissions lists what the role may do, always in the same order. The slice is
// the caller's own; it is empty for a role that does not exist.
func (r Role) Permissions() []Permission {
	return slices.Clone(granted[r])
}

// MarshalGQL writes the role as a GraphQL enum value, and null for a text that is
// none, so that nothing which is not a role ever looks like one to a client.
func (r Role) MarshalGQL(w io.Writer) {
	writeEnum(w, string(r), r.known())
}

// UnmarshalGQL reads a GraphQL enum value; anything but the four roles is
// fault.Invalid at field "role" and leaves the receiver as it was.
func (r *Role) UnmarshalGQL(value any) error {
	text, _ := value.(string) // another type gives "", which is no role
	role, err := ParseRole(text)
	if err != nil {
		return err
	}
	*r = role
	return nil
}

// MarshalGQL writes the permission as a GraphQL enum value, and null for a text
// that is none.
func (p Permission) MarshalGQL(w io.Writer) {
	writeEnum(w, string(p), p.known())
}

// UnmarshalGQL reads a GraphQL enum value; anything else than a permission is
// fault.Invalid at field "permission" and leaves the receiver as it was.
func (p *Permission) UnmarshalGQL(value any) error {
	text, _ := value.(string)
	if !Permission(text).known() {
		return fault.New(fault.Invalid, "There is no such permission. The enum Permission in the schema lists them.").At("permission")
	}
	*p = Permission(text)
	return nil
}

// InControl tells a permission to change what the control database holds: who may
// enter the tenant, and the tenant itself. What any other guards is in its home.
func (p Permission) InControl() bool {
	return p == PermissionMembersWrite || p == PermissionTenantWrite
}

// mayGive tells whether who has the role may give another to members, and take it away:
// nobody gives what they do not hold.
func (r Role) mayGive(other Role) bool {
	for _, p := range granted[other] {
		if !r.Can(p) {
			return false
		}
	}
	return r.Can(PermissionMembersWrite)
}

func notYours() *fault.Error {
	return fault.New(fault.Forbidden, "You can give and take only what you hold yourself. Ask an owner of the tenant.")
}

func (r Role) known() bool {
	_, ok := granted[r]
	return ok
}

// The owner holds every permission there is.
func (p Permission) known() bool { return RoleOwner.Can(p) }

// writeEnum ignores the writer's error, for which gqlgen leaves no way out; it
// writes into a buffer in memory.
func writeEnum(w io.Writer, text string, known bool) {
	if !known {
		_, _ = io.WriteString(w, "null")
		return
	}
	_, _ = io.WriteString(w, strconv.Quote(text))
}
