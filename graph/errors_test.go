package graph_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

// declared are the codes that each mutation says it can meet, as "mutation CODE".
func declared(t testing.TB) (all []string) {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for _, field := range schema.Mutation.Fields {
		name := strings.ToUpper(field.Name[:1]) + field.Name[1:]
		errors := schema.Types[field.Type.Name()].Fields.ForName("userErrors")
		if errors == nil || errors.Type.String() != "["+name+"UserError!]!" {
			t.Errorf("%s: its payload wants userErrors: [%sUserError!]!", field.Name, name)
			continue
		}
		shape := make(map[string]string)
		for _, f := range schema.Types[name+"UserError"].Fields {
			shape[f.Name] = f.Type.String()
		}
		if want := map[string]string{"field": "[String!]", "message": "String!", "code": name + "ErrorCode!"}; !maps.Equal(shape, want) {
			t.Errorf("%sUserError is %v, want %v", name, shape, want)
			continue
		}
		codes := schema.Types[name+"ErrorCode"].EnumValues
		if codes.ForName("CONFLICT") == nil {
			t.Errorf("%sErrorCode lacks CONFLICT: every transaction can meet it", name)
		}
		for _, code := range codes {
			if !fault.Code(code.Name).IsUserError() {
				t.Errorf("%sErrorCode.%s is no code of a user error", name, code.Name)
			}
			all = append(all, field.Name+" "+code.Name)
		}
	}
	return all
}

// meeting is a mutation that meets what the key of its case says, and nothing else.
type meeting struct {
	document  string
	variables func(*resident) map[string]any
}

func nothing(*resident) map[string]any { return nil }

// meetings has a case for each code that a mutation declares, but for CONFLICT.
func meetings() map[string]meeting {
	of := func(pick func(*resident) string) func(*resident) map[string]any {
		return func(r *resident) map[string]any { return map[string]any{"id": pick(r)} }
	}
	never := func(made func() string) func(*resident) map[string]any {
		return of(func(*resident) string { return made() })
	}
	noMember := never(func() string { return id.NewMember().String() })
	lastOwner := of(func(r *resident) string { return r.things.Membership })
	product := of(func(r *resident) string { return r.Product })
	category := of(func(r *resident) string { return r.Category })
	customer := of(func(r *resident) string { return r.Customer })
	order := of(func(r *resident) string { return r.Order })
	noProduct := never(func() string { return id.NewProduct().String() })
	noCategory := never(func() string { return id.NewCategory().String() })
	noCustomer := never(func() string { return id.NewCustomer().String() })
	invitation := of(func(r *resident) string { return r.Invitation })
	noInvitation := never(func() string { return id.NewInvitation().String() })
	link := of(func(r *resident) string { return r.InvitationLink })
	noLink := never(func() string { return id.NewInvitationLink().String() })
	noOrder := never(func() string { return id.NewOrder().String() })
	withID := func(input string) string { return `mutation($id: ID!) { ` + input + ` {` + userErrors + `} }` }
	withText := func(input string) string { return `mutation($id: String!) { ` + input + ` {` + userErrors + `} }` }
	signedIn := func(r *resident) map[string]any { return map[string]any{"email": r.Email, "slug": r.Slug} }
	sign := func(variables, tenant string) string {
		return `mutation(` + variables + `$email: String!) { signIn(input: {` + tenant + `email: $email, password: "` + apitest.Password + `"}) {` + userErrors + `} }`
	}
	named := func(r *resident) map[string]any { return map[string]any{"email": r.Email} }
	const newProduct = `name: "New", price: {amount: "1.00", currencyCode: EUR}`
	key := of(func(r *resident) string { return r.APIKey })
	noKey := never(func() string { return id.NewAPIKey().String() })
	const newKey = `mutation { createApiKey(input: {name: "New", scopes: [`
	return map[string]meeting{
		"signIn BAD_CREDENTIALS":           {`mutation { signIn(input: {email: "nobody@tests.example", password: "wrong"}) {` + userErrors + `} }`, nothing},
		"signIn NOT_FOUND":                 {sign("", `tenant: "no-such-tenant", `), named},
		"signIn TENANT_REQUIRED":           {sign("", ""), named},
		"signIn TENANT_SUSPENDED":          {sign("$slug: String, ", "tenant: $slug, "), signedIn},
		"switchTenant BAD_CREDENTIALS":     {`mutation { switchTenant(input: {tenant: "any", ticket: "none"}) {` + userErrors + `} }`, nothing},
		"switchTenant NOT_FOUND":           {`mutation { switchTenant(input: {tenant: "no-such-tenant"}) {` + userErrors + `} }`, nothing},
		"switchTenant TENANT_SUSPENDED":    {withText(`switchTenant(input: {tenant: $id})`), of(func(r *resident) string { return r.Slug })},
		"inviteMember INVALID":             {`mutation { inviteMember(input: {email: "none", role: VIEWER}) {` + userErrors + `} }`, nothing},
		"inviteMember TAKEN":               {withText(`inviteMember(input: {email: $id, role: VIEWER})`), of(func(r *resident) string { return r.Person })},
		"inviteMember LIMIT_REACHED":       {`mutation { inviteMember(input: {email: "one-more@tests.example", role: VIEWER}) {` + userErrors + `} }`, nothing},
		"resendInvitation NOT_FOUND":       {withID(`resendInvitation(input: {id: $id})`), noInvitation},
		"resendInvitation WRONG_STATUS":    {withID(`resendInvitation(input: {id: $id})`), invitation},
		"resendInvitation LIMIT_REACHED":   {withID(`resendInvitation(input: {id: $id})`), invitation},
		"revokeInvitation NOT_FOUND":       {withID(`revokeInvitation(input: {id: $id})`), noInvitation},
		"revokeInvitation WRONG_STATUS":    {withID(`revokeInvitation(input: {id: $id})`), invitation},
		"acceptInvitation BAD_CREDENTIALS": {`mutation { acceptInvitation(input: {token: "none"}) {` + userErrors + `} }`, nothing},
		"acceptInvitation INVALID":         {withText(`acceptInvitation(input: {token: $id, password: "short", displayName: "New"})`), of(func(r *resident) string { return r.Refresh })},
		"acceptInvitation TAKEN":           {withText(`acceptInvitation(input: {token: $id})`), of(func(r *resident) string { return r.Refresh })},
		"acceptInvitation TENANT_SUSPENDED": {withText(`acceptInvitation(input: {token: $id, password: "a password of somebody", displayName: "New"})`),
			of(func(r *resident) string { return r.Refresh })},
		"createInvitationLink INVALID":       {`mutation { createInvitationLink(input: {role: OWNER, allowedDomains: ["tests.example"]}) {` + userErrors + `} }`, nothing},
		"createInvitationLink LIMIT_REACHED": {`mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["tests.example"]}) {` + userErrors + `} }`, nothing},
		"revokeInvitationLink NOT_FOUND":     {withID(`revokeInvitationLink(input: {id: $id})`), noLink},
		"revokeInvitationLink WRONG_STATUS":  {withID(`revokeInvitationLink(input: {id: $id})`), link},
		"requestToJoin INVALID":              {`mutation { requestToJoin(input: {token: "none", email: "none"}) {` + userErrors + `} }`, nothing},
		"requestToJoin BAD_CREDENTIALS":      {`mutation { requestToJoin(input: {token: "none", email: "new@tests.example"}) {` + userErrors + `} }`, nothing},
		"requestToJoin TENANT_SUSPENDED":     {withText(`requestToJoin(input: {token: $id, email: "new@tests.example"})`), of(func(r *resident) string { return r.LinkToken })},
		"transferOwnership NOT_FOUND":        {withID(`transferOwnership(input: {memberId: $id})`), noMember},
		"transferOwnership INVALID":          {withID(`transferOwnership(input: {memberId: $id})`), lastOwner},
		"transferOwnership WRONG_STATUS":     {withID(`transferOwnership(input: {memberId: $id})`), of(func(r *resident) string { return r.Benched })},
		"transferOwnership BAD_CREDENTIALS":  {withID(`transferOwnership(input: {memberId: $id, password: "wrong"})`), of(func(r *resident) string { return r.Colleague })},
		"refreshSession BAD_CREDENTIALS":     {`mutation { refreshSession(input: {refreshToken: "chr_"}) {` + userErrors + `} }`, nothing},
		"refreshSession TENANT_SUSPENDED": {`mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {` + userErrors + `} }`,
			func(r *resident) map[string]any { return map[string]any{"token": r.Refresh} }},
		"requestPasswordReset INVALID":        {`mutation { requestPasswordReset(input: {email: "none"}) {` + userErrors + `} }`, nothing},
		"resetPassword INVALID":               {`mutation { resetPassword(input: {token: "", newPassword: "short"}) {` + userErrors + `} }`, nothing},
		"resetPassword BAD_CREDENTIALS":       {`mutation { resetPassword(input: {token: "cht_", newPassword: "another password, long enough"}) {` + userErrors + `} }`, nothing},
		"changePassword INVALID":              {`mutation { changePassword(input: {currentPassword: "", newPassword: "short"}) {` + userErrors + `} }`, nothing},
		"changePassword BAD_CREDENTIALS":      {`mutation { changePassword(input: {currentPassword: "wrong", newPassword: "another password, long enough"}) {` + userErrors + `} }`, nothing},
		"requestEmailChange INVALID":          {`mutation { requestEmailChange(input: {newEmail: "none"}) {` + userErrors + `} }`, nothing},
		"requestEmailChange BAD_CREDENTIALS":  {`mutation { requestEmailChange(input: {newEmail: "new@tests.example", password: "wrong"}) {` + userErrors + `} }`, nothing},
		"confirmEmailChange BAD_CREDENTIALS":  {`mutation { confirmEmailChange(input: {token: "cht_"}) {` + userErrors + `} }`, nothing},
		"endSession NOT_FOUND":                {withID(`endSession(input: {id: $id})`), never(func() string { return id.NewSession().String() })},
		"reauthenticate BAD_CREDENTIALS":      {`mutation { reauthenticate(input: {password: "wrong"}) {` + userErrors + `} }`, nothing},
		"registerTenant INVALID":              {`mutation { registerTenant(input: {tenantName: "New", slug: "Not a slug"}) {` + userErrors + `} }`, nothing},
		"registerTenant TAKEN":                {withText(`registerTenant(input: {tenantName: "New", slug: $id})`), of(func(r *resident) string { return r.Slug })},
		"confirmRegistration BAD_CREDENTIALS": {`mutation { confirmRegistration(input: {token: "cht_"}) {` + userErrors + `} }`, nothing},
		"confirmRegistration INVALID":         {`mutation { confirmRegistration(input: {token: "cht_", slug: "Not a slug"}) {` + userErrors + `} }`, nothing},
		"confirmRegistration TAKEN":           {withText(`confirmRegistration(input: {token: $id, password: "` + apitest.Password + `"})`), of(func(r *resident) string { return r.Refresh })},

		"createApiKey INVALID":           {newKey + `]}) {` + userErrors + `} }`, nothing},
		"createApiKey SCOPE_NOT_ALLOWED": {newKey + `MEMBERS_WRITE]}) {` + userErrors + `} }`, nothing},
		"createApiKey LIMIT_REACHED":     {newKey + `ORDERS_READ]}) {` + userErrors + `} }`, nothing},
		"rotateApiKey INVALID":           {withID(`rotateApiKey(input: {id: $id, overlapSeconds: -1})`), key},
		"rotateApiKey NOT_FOUND":         {withID(`rotateApiKey(input: {id: $id})`), noKey},
		"rotateApiKey WRONG_STATUS":      {withID(`rotateApiKey(input: {id: $id})`), key},
		"rotateApiKey SCOPE_NOT_ALLOWED": {withID(`rotateApiKey(input: {id: $id})`), key},
		"rotateApiKey LIMIT_REACHED":     {withID(`rotateApiKey(input: {id: $id})`), key},
		"revokeApiKey NOT_FOUND":         {withID(`revokeApiKey(input: {id: $id})`), noKey},

		"createProduct INVALID":       {`mutation { createProduct(input: {sku: "", ` + newProduct + `}) {` + userErrors + `} }`, nothing},
		"createProduct TAKEN":         {withText(`createProduct(input: {sku: $id, ` + newProduct + `})`), of(func(r *resident) string { return r.SKU })},
		"createProduct NOT_FOUND":     {withID(`createProduct(input: {sku: "new", categoryId: $id, ` + newProduct + `})`), noCategory},
		"updateProduct INVALID":       {withID(`updateProduct(input: {id: $id, version: 1, stock: -1})`), product},
		"updateProduct NOT_FOUND":     {withID(`updateProduct(input: {id: $id, version: 1, stock: 1})`), noProduct},
		"updateProduct STALE_VERSION": {withID(`updateProduct(input: {id: $id, version: 7, stock: 1})`), product},
		"updateProduct TAKEN": {`mutation($id: ID!, $sku: String!) { updateProduct(input: {id: $id, version: 1, sku: $sku}) {` + userErrors + `} }`,
			func(r *resident) map[string]any { return map[string]any{"id": r.Product, "sku": r.SKU} }},
		"deleteProduct NOT_FOUND":     {withID(`deleteProduct(input: {id: $id, version: 1})`), noProduct},
		"deleteProduct STALE_VERSION": {withID(`deleteProduct(input: {id: $id, version: 7})`), product},
		"deleteProduct IN_USE":        {withID(`deleteProduct(input: {id: $id, version: 3})`), of(func(r *resident) string { return r.Sold })},
		"productsUpsert INVALID":      {`mutation { productsUpsert(input: []) {` + userErrors + `} }`, nothing},
		"productsUpsert NOT_FOUND":    {withID(`productsUpsert(input: [{sku: "new", categoryId: $id, ` + newProduct + `}])`), noCategory},

		"createCategory INVALID":       {`mutation { createCategory(input: {name: ""}) {` + userErrors + `} }`, nothing},
		"createCategory TAKEN":         {withText(`createCategory(input: {name: $id})`), of(func(r *resident) string { return r.Name })},
		"createCategory NOT_FOUND":     {withID(`createCategory(input: {name: "New", parentId: $id})`), noCategory},
		"updateCategory INVALID":       {withID(`updateCategory(input: {id: $id, version: 1, parentId: $id})`), category},
		"updateCategory NOT_FOUND":     {withID(`updateCategory(input: {id: $id, version: 1, name: "New"})`), noCategory},
		"updateCategory STALE_VERSION": {withID(`updateCategory(input: {id: $id, version: 7, name: "New"})`), category},
		"updateCategory TAKEN": {`mutation($id: ID!, $name: String!) { updateCategory(input: {id: $id, version: 1, name: $name}) {` + userErrors + `} }`,
			func(r *resident) map[string]any { return map[string]any{"id": r.Parent, "name": r.Name} }},
		"deleteCategory NOT_FOUND":     {withID(`deleteCategory(input: {id: $id, version: 1})`), noCategory},
		"deleteCategory STALE_VERSION": {withID(`deleteCategory(input: {id: $id, version: 7})`), category},
		"deleteCategory IN_USE":        {withID(`deleteCategory(input: {id: $id, version: 1})`), category},

		"changeMemberRole NOT_FOUND":  {withID(`changeMemberRole(input: {id: $id, role: VIEWER})`), noMember},
		"changeMemberRole LAST_OWNER": {withID(`changeMemberRole(input: {id: $id, role: VIEWER})`), lastOwner},
		"suspendMember NOT_FOUND":     {withID(`suspendMember(input: {id: $id})`), noMember},
		"suspendMember LAST_OWNER":    {withID(`suspendMember(input: {id: $id})`), lastOwner},
		"reinstateMember NOT_FOUND":   {withID(`reinstateMember(input: {id: $id})`), noMember},
		"removeMember NOT_FOUND":      {withID(`removeMember(input: {id: $id})`), noMember},
		"removeMember LAST_OWNER":     {withID(`removeMember(input: {id: $id})`), lastOwner},

		"createCustomer INVALID":       {`mutation { createCustomer(input: {email: "none", name: "New"}) {` + userErrors + `} }`, nothing},
		"createCustomer TAKEN":         {withText(`createCustomer(input: {email: $id, name: "New"})`), of(func(r *resident) string { return r.CustomerEmail })},
		"updateCustomer INVALID":       {withID(`updateCustomer(input: {id: $id, version: 1, name: ""})`), customer},
		"updateCustomer NOT_FOUND":     {withID(`updateCustomer(input: {id: $id, version: 1, name: "New"})`), noCustomer},
		"updateCustomer STALE_VERSION": {withID(`updateCustomer(input: {id: $id, version: 7, name: "New"})`), customer},
		"updateCustomer TAKEN": {`mutation($id: ID!, $email: String!) { updateCustomer(input: {id: $id, version: 1, email: $email}) {` + userErrors + `} }`,
			func(r *resident) map[string]any { return map[string]any{"id": r.Idle, "email": r.CustomerEmail} }},
		"deleteCustomer NOT_FOUND":     {withID(`deleteCustomer(input: {id: $id, version: 1})`), noCustomer},
		"deleteCustomer STALE_VERSION": {withID(`deleteCustomer(input: {id: $id, version: 7})`), customer},
		"deleteCustomer IN_USE":        {withID(`deleteCustomer(input: {id: $id, version: 1})`), customer},

		"createOrder INVALID":             {withID(`createOrder(input: {customerId: $id, items: []})`), customer},
		"createOrder NOT_FOUND":           {`mutation($id: ID!, $product: ID!) { createOrder(input: {customerId: $id, items: [{productId: $product, quantity: 1}]}) {` + userErrors + `} }`, customerless},
		"placeOrder INVALID":              {withID(`placeOrder(input: {order: {customerId: $id, items: []}})`), customer},
		"placeOrder NOT_FOUND":            {withID(`placeOrder(input: {draft: {id: $id, version: 1}})`), noOrder},
		"placeOrder STALE_VERSION":        {withID(`placeOrder(input: {draft: {id: $id, version: 7}})`), of(func(r *resident) string { return r.Draft })},
		"placeOrder WRONG_STATUS":         {withID(`placeOrder(input: {draft: {id: $id, version: 2}})`), order},
		"placeOrder OUT_OF_STOCK":         {`mutation($id: ID!, $product: ID!) { placeOrder(input: {order: {customerId: $id, items: [{productId: $product, quantity: 1000}]}}) {` + userErrors + `} }`, shopping},
		"changeOrderStatus NOT_FOUND":     {withID(`changeOrderStatus(input: {id: $id, version: 1, status: PAID})`), noOrder},
		"changeOrderStatus STALE_VERSION": {withID(`changeOrderStatus(input: {id: $id, version: 7, status: PAID})`), order},
		"changeOrderStatus WRONG_STATUS":  {withID(`changeOrderStatus(input: {id: $id, version: 2, status: DELIVERED})`), order},
		"changeOrderStatus INVALID":       {withID(`changeOrderStatus(input: {id: $id, version: 2, status: CANCELLED})`), order},
	}
}

func customerless(r *resident) map[string]any {
	return map[string]any{"id": id.NewCustomer().String(), "product": r.Product}
}

func shopping(r *resident) map[string]any {
	return map[string]any{"id": r.Customer, "product": r.Product}
}

// What a mutation says it can meet, somebody meets.
func TestEveryUserErrorIsMet(t *testing.T) {
	t.Parallel()
	all, cases := declared(t), meetings()
	for _, what := range all {
		if _, ok := cases[what]; !ok && !strings.HasSuffix(what, " CONFLICT") {
			t.Errorf("add a case to meetings() for %s, or take the code out of its enum", what)
		}
	}
	api := apitest.New(t, pgtest.New(t))
	for what, m := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if !slices.Contains(all, what) {
				t.Error("the schema does not declare it")
			}
			_, code, _ := strings.Cut(what, " ")
			r, super := newResident(t, api), pgtest.Superuser(t)
			c := r.Client
			switch what {
			case "signIn TENANT_REQUIRED", "switchTenant TENANT_SUSPENDED":
				other := api.NewTenant(t)
				exec(t, super, `insert into control.memberships (tenant_id, id, user_id, role) select $1, $2, user_id, 'VIEWER' from control.memberships where tenant_id = $3 and role = 'OWNER'`,
					other.Tenant.ID, id.New(), r.Tenant.ID)
				if what == "switchTenant TENANT_SUSPENDED" {
					r.Slug = other.Tenant.Slug
					pgtest.Change(t, api.Registry, r.Slug, tenant.Suspended)
				}
			case "inviteMember LIMIT_REACHED":
				exec(t, super, `insert into control.invitations (tenant_id, id, email, role, invited_by, expires_at)
					select $1, gen_random_uuid(), n || '@tests.example', 'VIEWER', gen_random_uuid(), now() + interval '1 day' from generate_series(4, 100) as n`, r.Tenant.ID)
			case "createInvitationLink LIMIT_REACHED":
				exec(t, super, `insert into control.invitation_links (tenant_id, id, role, allowed_domains, max_uses, created_by, expires_at)
					select tenant_id, gen_random_uuid(), role, allowed_domains, max_uses, created_by, expires_at from control.invitation_links, generate_series(2, 20) where tenant_id = $1`, r.Tenant.ID)
			case "revokeInvitationLink WRONG_STATUS":
				exec(t, super, `update control.invitation_links set revoked_at = now() where tenant_id = $1`, r.Tenant.ID)
			case "resendInvitation LIMIT_REACHED":
				exec(t, super, `update control.invitations set sent_at = now() where tenant_id = $1`, r.Tenant.ID)
			case "resendInvitation WRONG_STATUS", "revokeInvitation WRONG_STATUS":
				exec(t, super, `update control.invitations set revoked_at = now() where tenant_id = $1`, r.Tenant.ID)
			case "confirmRegistration TAKEN":
				r.Refresh = api.Ring.Token("registration", halfRegistration(t, r.Slug, "new-"+r.Email, r.Email))
			case "acceptInvitation TAKEN":
				exec(t, super, `update control.invitations set email = $2 where tenant_id = $1 and id = $3`, r.Tenant.ID, r.Email, invitationID(t, r.Invitation))
				fallthrough
			case "acceptInvitation INVALID":
				r.Refresh = api.Ring.Token("invitation", invitationID(t, r.Invitation))
			case "signIn TENANT_SUSPENDED", "refreshSession TENANT_SUSPENDED", "acceptInvitation TENANT_SUSPENDED", "requestToJoin TENANT_SUSPENDED":
				if what == "acceptInvitation TENANT_SUSPENDED" {
					r.Refresh = api.Ring.Token("invitation", invitationID(t, r.Invitation))
				}
				pgtest.Change(t, api.Registry, r.Slug, tenant.Suspended)
				c = api.Anonymous()
			case "createApiKey LIMIT_REACHED", "rotateApiKey LIMIT_REACHED":
				exec(t, super, `insert into control.api_keys (tenant_id, id, name, ending, scopes, created_by, expires_at)
					select tenant_id, gen_random_uuid(), name, ending, scopes, created_by, expires_at from control.api_keys, generate_series(2, 100) where tenant_id = $1`, r.Tenant.ID)
			case "rotateApiKey WRONG_STATUS":
				exec(t, super, `update control.api_keys set revoked_at = now() where tenant_id = $1`, r.Tenant.ID)
			case "rotateApiKey SCOPE_NOT_ALLOWED": // by who may less than the key
				exec(t, super, `update control.api_keys set scopes = '{TENANT_WRITE}' where tenant_id = $1`, r.Tenant.ID)
				c = r.Member(t, auth.RoleAdmin)
			case "changeOrderStatus INVALID": // with what comes back there would be too many
				mutate(t, c, "updateProduct", map[string]any{"id": r.Sold, "version": 3, "stock": 1_000_000_000})
			}
			a := c.Do(t, m.document, m.variables(r))
			if a.Status != http.StatusOK || len(a.Errors) > 0 || strings.Count(string(a.Body), `"code":`) != 1 || !strings.Contains(string(a.Body), `"code":"`+code+`"`) {
				t.Errorf("%d %s, want %s", a.Status, a.Body, code)
			}
		})
	}
}

// CONFLICT is what a caller meets whose key another request takes at the same moment.
func TestEveryKeyedMutationMeetsAConflict(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	all := declared(t)
	met := make(map[string]bool)
	for _, op := range keyedMutations(t) {
		field, _, _ := strings.Cut(op.name, " ")
		if met[field] || !slices.Contains(all, field+" CONFLICT") {
			continue
		}
		met[field] = true
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			r, super := newResident(t, api), pgtest.Superuser(t)
			tx, err := super.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, plane := range []string{"shared", "control"} {
				_, err = tx.Exec(t.Context(), `insert into `+plane+`.idempotency_keys (tenant_id, id, user_id, key, request_hash, expires_at)
					select $1, $2, user_id, 'key', sha256('another request'), now() + interval '1 day' from control.memberships where tenant_id = $1 and role = 'OWNER'`, r.Tenant.ID, id.New())
				if err != nil {
					t.Fatal(err)
				}
			}
			body := make(chan string)
			go func() { body <- string(withKey(r.Client, "key").Do(t, op.document, op.variables(r, r.things)).Body) }()
			waitFor(t, super, 1)
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := <-body; strings.Contains(got, `"errors"`) || !strings.Contains(got, `"code":"CONFLICT"`) {
				t.Error(got)
			}
		})
	}
}

// halfRegistration keeps what a tenant is to be made of, and returns its id: by somebody
// new, with the password of somebody who is there.
func halfRegistration(t *testing.T, slug, email, somebody string) uuid.UUID {
	t.Helper()
	registration := id.New()
	exec(t, pgtest.Superuser(t), `insert into control.registrations (id, email, display_name, password_hash, tenant_name, slug, currency_code, expires_at)
		select $1, $2, 'New', c.password_hash, 'New', $3, 'EUR', now() + interval '1 hour'
		from control.user_credentials as c join control.users as u on u.id = c.user_id where u.email = $4`, registration, email, slug, somebody)
	return registration
}

// waitFor returns once so many wait for a lock that holder has, or for each other behind it.
func waitFor(t *testing.T, holder *pgx.Conn, many int) {
	t.Helper()
	watcher := pgtest.Superuser(t)
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		waiting := columnOne[int](t, watcher, `with recursive waiting as (
				select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid))
				union select a.pid from pg_stat_activity as a join waiting as w on w.pid = any(pg_blocking_pids(a.pid)))
			select count(*) from waiting`, int32(holder.PgConn().PID())) //nolint:gosec // a pid
		if waiting >= many {
			return
		}
		if time.Now().After(until) {
			t.Errorf("%d wait, not %d", waiting, many)
			return
		}
	}
}

// The mutations that take no key meet a CONFLICT where somebody else holds a row that
// they need for longer than a lock is waited for.
func TestEveryOtherMutationMeetsAConflict(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	const lockOwner = `select from control.users where id = (select user_id from control.memberships where tenant_id = $1 and role = 'OWNER') for update`
	type held struct {
		hold     string // what another transaction does; $1 is the tenant
		mutation string
	}
	meanwhile := map[string]held{
		"signIn": {lockOwner,
			`mutation($slug: String!, $email: String!, $password: String!) { signIn(input: {tenant: $slug, email: $email, password: $password}) { session { accessToken }` + userErrors + `} }`},
		"switchTenant": {`select from control.users where id = (select user_id from control.memberships where tenant_id = $1 and role = 'OWNER') for update`,
			`mutation($slug: String!) { switchTenant(input: {tenant: $slug}) { session { accessToken }` + userErrors + `} }`},
		"acceptInvitation": {`select from control.invitations where tenant_id = $1 for update`,
			`mutation($token: String!, $password: String!) { acceptInvitation(input: {token: $token, password: $password, displayName: "New"}) { session { accessToken }` + userErrors + `} }`},
		"createInvitationLink": {`select from control.tenants where id = $1 for update`,
			`mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["tests.example"]}) { token` + userErrors + `} }`},
		"requestToJoin": {`select from control.invitation_links where tenant_id = $1 for update`,
			`mutation($link: String!, $new: String!) { requestToJoin(input: {token: $link, email: $new}) {` + userErrors + `} }`},
		"transferOwnership": {`select from control.memberships where tenant_id = $1 for update`,
			`mutation($member: ID!) { transferOwnership(input: {memberId: $member}) { member { id }` + userErrors + `} }`},
		"refreshSession": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation($refresh: String!) { refreshSession(input: {refreshToken: $refresh}) { session { accessToken }` + userErrors + `} }`},
		"signOut": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation { signOut { clientMutationId` + userErrors + `} }`},
		"endSession": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation($session: ID!) { endSession(input: {id: $session}) { endedSessionId` + userErrors + `} }`},
		"signOutEverywhere": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation { signOutEverywhere(input: {keepCurrent: true}) { endedSessions` + userErrors + `} }`},
		"reauthenticate": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation($password: String!) { reauthenticate(input: {password: $password}) { confirmedUntil` + userErrors + `} }`},
		"requestPasswordReset": {lockOwner, `mutation($email: String!) { requestPasswordReset(input: {email: $email}) {` + userErrors + `} }`},
		"resetPassword":        {lockOwner, `mutation($reset: String!, $password: String!) { resetPassword(input: {token: $reset, newPassword: $password}) {` + userErrors + `} }`},
		"changePassword":       {lockOwner, `mutation($password: String!) { changePassword(input: {currentPassword: $password, newPassword: $password}) {` + userErrors + `} }`},
		"requestEmailChange":   {lockOwner, `mutation($new: String!) { requestEmailChange(input: {newEmail: $new}) {` + userErrors + `} }`},
		"confirmEmailChange":   {lockOwner, `mutation($change: String!) { confirmEmailChange(input: {token: $change}) {` + userErrors + `} }`},
		"registerTenant": {`select from control.sessions where tenant_id = $1 for update`,
			`mutation($newSlug: String!) { registerTenant(input: {tenantName: "New", slug: $newSlug}) { tenant { id } session { accessToken }` + userErrors + `} }`},
		"confirmRegistration": {`select from control.registrations where email = 'new-' || $1::uuid::text || '@tests.example' for update`,
			`mutation($registration: String!, $password: String!) { confirmRegistration(input: {token: $registration, password: $password}) { tenant { id } session { accessToken }` + userErrors + `} }`},
		"createApiKey": {`select from control.tenants where id = $1 for update`,
			`mutation { createApiKey(input: {name: "New", scopes: [ORDERS_READ]}) { secret` + userErrors + `} }`},
		"rotateApiKey": {`select from control.api_keys where tenant_id = $1 for update`,
			`mutation($key: ID!) { rotateApiKey(input: {id: $key}) { secret` + userErrors + `} }`},
		"revokeApiKey": {`select from control.api_keys where tenant_id = $1 for update`,
			`mutation($key: ID!) { revokeApiKey(input: {id: $key}) { apiKey { id }` + userErrors + `} }`},
	}
	keyed := make(map[string]bool)
	for _, op := range keyedMutations(t) {
		field, _, _ := strings.Cut(op.name, " ")
		keyed[field] = true
	}
	for _, what := range declared(t) {
		field, code, _ := strings.Cut(what, " ")
		if _, ok := meanwhile[field]; code == "CONFLICT" && !keyed[field] && !ok {
			t.Errorf("%s declares CONFLICT: who meets it?", field)
		}
	}
	for field, m := range meanwhile {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			r, super := newResident(t, api), pgtest.Superuser(t)
			values := map[string]any{"session": r.Device, "key": r.APIKey, "link": r.LinkToken, "member": r.Colleague, "slug": r.Slug, "email": r.Email, "password": apitest.Password, "refresh": r.Refresh, "token": api.Ring.Token("invitation", invitationID(t, r.Invitation)), "new": "new-" + r.Tenant.ID.UUID().String() + "@tests.example"}
			for name, purpose := range map[string]string{"reset": "password reset", "change": "email change"} {
				link := id.New()
				exec(t, pgtest.Superuser(t), `insert into control.mail_links (id, purpose, user_id, email, expires_at)
					select $2, $3, user_id, $2::uuid::text || '@tests.example', now() + interval '1 hour' from control.memberships where tenant_id = $1 and role = 'OWNER'`, r.Tenant.ID, link, purpose)
				values[name] = api.Ring.Token(purpose, link)
			}
			values["newSlug"] = "n" + r.Slug[1:]
			values["registration"] = api.Ring.Token("registration", halfRegistration(t, "m"+r.Slug[1:], values["new"].(string), r.Email))
			for name := range values {
				if !strings.Contains(m.mutation, "$"+name+":") {
					delete(values, name)
				}
			}
			tx, err := super.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			exec(t, super, m.hold, r.Tenant.ID)
			before := columnsOf(t, r.Tenant.ID)
			answered := make(chan *apitest.Answer)
			go func() { answered <- r.Do(t, m.mutation, values) }()
			waitFor(t, super, 1)
			a := <-answered
			if a.Status != http.StatusOK || len(a.Errors) > 0 || strings.Count(string(a.Body), `"code":`) != 1 || !strings.Contains(string(a.Body), `"code":"CONFLICT"`) || strings.Contains(string(a.Body), "accessToken\":\"") {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if after := columnsOf(t, r.Tenant.ID); !maps.Equal(before, after) {
				t.Errorf("something was done: %s", cmp.Diff(before, after))
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again := r.Do(t, m.mutation, values); !strings.Contains(string(again.Body), `"userErrors":[]`) {
				t.Errorf("once the other has ended: %s", again.Body)
			}
		})
	}
}
