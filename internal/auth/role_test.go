package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/fault"
)

// What each role may do, written a second time and the other way round: by
// permission. A line that is changed in one place only fails.
var allowed = map[Permission]string{
	PermissionProductsRead:    "OWNER ADMIN MEMBER VIEWER",
	PermissionProductsWrite:   "OWNER ADMIN MEMBER",
	PermissionCategoriesRead:  "OWNER ADMIN MEMBER VIEWER",
	PermissionCategoriesWrite: "OWNER ADMIN MEMBER",
	PermissionCustomersRead:   "OWNER ADMIN MEMBER VIEWER",
	PermissionCustomersWrite:  "OWNER ADMIN MEMBER",
	PermissionOrdersRead:      "OWNER ADMIN MEMBER VIEWER",
	PermissionOrdersWrite:     "OWNER ADMIN MEMBER",
	PermissionMembersRead:     "OWNER ADMIN MEMBER VIEWER",
	PermissionMembersWrite:    "OWNER ADMIN",
	PermissionTenantRead:      "OWNER ADMIN MEMBER VIEWER",
	PermissionTenantWrite:     "OWNER",
	PermissionAuditRead:       "OWNER ADMIN",
	PermissionAPIKeysRead:     "OWNER ADMIN",
	PermissionAPIKeysWrite:    "OWNER ADMIN",
}

var rolesWeakestFirst = []Role{RoleViewer, RoleMember, RoleAdmin, RoleOwner}

func TestEveryRoleAndPermission(t *testing.T) {
	t.Parallel()
	for permission, names := range allowed {
		for _, role := range rolesWeakestFirst {
			want := slices.Contains(strings.Fields(names), string(role))
			if got := role.Can(permission); got != want {
				t.Errorf("%s.Can(%s) = %v, want %v", role, permission, got, want)
			}
			if got := slices.Contains(role.Permissions(), permission); got != want {
				t.Errorf("%s.Permissions() has %s: %v, want %v", role, permission, got, want)
			}
		}
	}
	if got := len(RoleOwner.Permissions()); got != len(allowed) {
		t.Errorf("the owner holds %d permissions, the table above knows %d", got, len(allowed))
	}
	if got := len(granted); got != len(rolesWeakestFirst) {
		t.Errorf("there are %d roles, this test knows %d", got, len(rolesWeakestFirst))
	}
}

func TestEachRoleHoldsLessThanTheNext(t *testing.T) {
	t.Parallel()
	for i, weaker := range rolesWeakestFirst[:len(rolesWeakestFirst)-1] {
		stronger := rolesWeakestFirst[i+1]
		for _, permission := range weaker.Permissions() {
			if !stronger.Can(permission) {
				t.Errorf("%s holds %s and %s does not", weaker, permission, stronger)
			}
		}
		if len(weaker.Permissions()) >= len(stronger.Permissions()) {
			t.Errorf("%s holds as much as %s", weaker, stronger)
		}
	}
}

func TestPermissionsAreOrderedAndTheCallersOwn(t *testing.T) {
	t.Parallel()
	order := RoleOwner.Permissions()
	for _, role := range rolesWeakestFirst {
		var want []Permission
		for _, permission := range order {
			if role.Can(permission) {
				want = append(want, permission)
			}
		}
		if got := role.Permissions(); !slices.Equal(got, want) {
			t.Errorf("%s.Permissions() = %v, want the owner's order %v", role, got, want)
		}
	}
	RoleViewer.Permissions()[0] = PermissionTenantWrite
	if RoleViewer.Can(PermissionTenantWrite) {
		t.Error("writing to the answer of Permissions changed what a viewer may do")
	}
}

func TestWhatIsNoRoleCanDoNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "owner", "Owner", " OWNER", "OWNER ", "ROOT", "OWNER\x00"} {
		if _, err := ParseRole(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseRole(%q): %v, want INVALID", text, err)
		}
		if len(Role(text).Permissions()) != 0 {
			t.Errorf("Role(%q) has permissions", text)
		}
		for permission := range allowed {
			if Role(text).Can(permission) {
				t.Errorf("Role(%q).Can(%s)", text, permission)
			}
		}
	}
	for _, role := range rolesWeakestFirst {
		if parsed, err := ParseRole(string(role)); err != nil || parsed != role {
			t.Errorf("ParseRole(%q) = %q, %v", role, parsed, err)
		}
		if role.Can("") || role.Can("PRODUCTS") || role.Can("products_read") {
			t.Errorf("%s can do what is no permission", role)
		}
	}
}

func TestRolesAndPermissionsInGraphQL(t *testing.T) {
	t.Parallel()
	for _, role := range rolesWeakestFirst {
		var out strings.Builder
		role.MarshalGQL(&out)
		if want := fmt.Sprintf("%q", string(role)); out.String() != want {
			t.Errorf("%s is written as %s", role, out.String())
		}
		var back Role
		if err := back.UnmarshalGQL(string(role)); err != nil || back != role {
			t.Errorf("%s is read back as %q, %v", role, back, err)
		}
	}
	for permission := range allowed {
		var out strings.Builder
		permission.MarshalGQL(&out)
		if want := fmt.Sprintf("%q", string(permission)); out.String() != want {
			t.Errorf("%s is written as %s", permission, out.String())
		}
		var back Permission
		if err := back.UnmarshalGQL(string(permission)); err != nil || back != permission {
			t.Errorf("%s is read back as %q, %v", permission, back, err)
		}
	}

	for _, value := range []any{nil, "", "owner", "products_read", 3, true, []any{"OWNER"}, `OWNER","x":"`} {
		role := RoleViewer
		if err := role.UnmarshalGQL(value); !fault.Is(err, fault.Invalid) || role != RoleViewer {
			t.Errorf("role from %#v: %q, %v; want INVALID and the value left alone", value, role, err)
		}
		permission := PermissionProductsRead
		if err := permission.UnmarshalGQL(value); !fault.Is(err, fault.Invalid) || permission != PermissionProductsRead {
			t.Errorf("permission from %#v: %q, %v; want INVALID and the value left alone", value, permission, err)
		}
		text, ok := value.(string)
		if !ok {
			continue
		}
		var out strings.Builder
		Role(text).MarshalGQL(&out)
		Permission(text).MarshalGQL(&out)
		if out.String() != "nullnull" {
			t.Errorf("%q is written as %s, want null for either type", text, out.String())
		}
	}
}
