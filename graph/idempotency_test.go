package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	commonhold "github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

// withKey is a client that sends a key with everything.
func withKey(c *apitest.Client, key ...string) *apitest.Client {
	other := *c
	other.Header = http.Header{"Idempotency-Key": key}
	return &other
}

// keyedMutations are the operations whose root field takes a key.
func keyedMutations(t *testing.T) (found []operation) {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: commonhold.Schema})
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]bool)
	for _, field := range schema.Mutation.Fields {
		missing[field.Name] = server.TakesKey(field)
	}
	for _, op := range operations() {
		document, err := gqlparser.LoadQueryWithRules(schema, op.document, nil)
		if err != nil {
			t.Fatal(err)
		}
		root, ok := document.Operations[0].SelectionSet[0].(*ast.Field)
		if ok && root.ObjectDefinition == schema.Mutation && server.TakesKey(root.Definition) {
			found = append(found, op)
			missing[root.Name] = false
		}
	}
	for name, is := range missing {
		if is {
			t.Errorf("no operation covers %s", name)
		}
	}
	return found
}

// A mutation that is sent twice under a key happens once, whether its answer was
// kept or a crash came between the effect and the answer.
func TestEveryMutationHappensOncePerKey(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	for _, op := range keyedMutations(t) {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			own := newResident(t, api)
			rows := func() map[string]string {
				all := columnsOf(t, own.Tenant.ID)
				delete(all, "shared.idempotency_keys")
				delete(all, "control.idempotency_keys")
				return all
			}
			before, c, variables := rows(), withKey(own.Client, id.New().String()), op.variables(own, own.things)
			first := c.Do(t, op.document, variables)
			if hit := op.hit(own); first.Status != http.StatusOK || len(first.Errors) > 0 || !strings.Contains(string(first.Body), hit) {
				t.Fatalf("status %d: %s, want %s", first.Status, first.Body, hit)
			}
			after := rows()
			changed, refused := !maps.Equal(before, after), !strings.Contains(string(first.Body), `"userErrors":[]`)
			if changed == refused {
				t.Fatalf("rows changed: %t, user errors: %t", changed, refused)
			}
			for _, crashed := range []bool{false, true} {
				if crashed && changed { // between the effect and its answer
					super := pgtest.Superuser(t)
					forgot, err := super.Exec(t.Context(), `update shared.idempotency_keys set answer = null where tenant_id = $1`, own.Tenant.ID)
					if err != nil {
						t.Fatal(err)
					}
					inControl, err := super.Exec(t.Context(), `update control.idempotency_keys set answer = null where tenant_id = $1`, own.Tenant.ID)
					if err != nil || forgot.RowsAffected()+inControl.RowsAffected() != 1 {
						t.Fatalf("%d and %d keys: %v", forgot.RowsAffected(), inControl.RowsAffected(), err)
					}
				}
				again := c.Do(t, op.document, variables)
				if again.Status != first.Status || !bytes.Equal(again.Body, first.Body) {
					t.Errorf("crashed: %t, status %d\n%s\nwant\n%s", crashed, again.Status, again.Body, first.Body)
				}
				if now := rows(); !maps.Equal(now, after) {
					t.Errorf("crashed: %t, and it happened again", crashed)
				}
			}
			if replayed := c.Do(t, op.document, variables); replayed.Header.Get("Idempotency-Replayed") != "true" {
				t.Error("a stored answer does not say that it is one")
			}
		})
	}
}

const addLamp = `mutation($sku: String!) { createProduct(input: {sku: $sku, name: "Lamp", price: {amount: "1.00", currencyCode: EUR}, stock: 1}) { product { id sku } userErrors { field message code } } }`

func TestKeysBelongToOnePersonInOneTenant(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	a, b := api.NewTenant(t), api.NewTenant(t)
	colleague := a.Member(t, auth.RoleMember)
	made := make(map[string]bool)
	for i, c := range []*apitest.Client{a, b, colleague} {
		answer := withKey(c, "the-same-key").Do(t, addLamp, map[string]any{"sku": fmt.Sprint("L-", i)})
		if answer.Code() != "" || answer.Header.Get("Idempotency-Replayed") != "" {
			t.Fatalf("client %d: %s", i, answer.Body)
		}
		made[string(answer.Body)] = true
	}
	if len(made) != 3 {
		t.Errorf("three people under one key got %d answers", len(made))
	}
}

func TestAnotherRequestUnderTheSameKey(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	c := withKey(api.NewTenant(t), "key")
	c.Must(t, addLamp, map[string]any{"sku": "L-1"}, nil)
	for name, other := range map[string]struct {
		document string
		sku      string
	}{
		"other variables": {addLamp, "L-2"},
		"other document":  {strings.Replace(addLamp, `"Lamp"`, `"Lamb"`, 1), "L-1"},
	} {
		if answer := c.Do(t, other.document, map[string]any{"sku": other.sku}); answer.Status != http.StatusConflict || answer.Code() != "CONFLICT" || !strings.Contains(string(answer.Body), "new key") {
			t.Errorf("%s: status %d: %s", name, answer.Status, answer.Body)
		}
	}
	// A query takes no notice of the header: many clients send it with everything.
	c.Must(t, `{ viewer { role } }`, nil, nil)
}

// Nothing is done under a key that cannot be kept.
func TestKeysThatCannotBeServed(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	c := api.NewTenant(t)
	variables := map[string]any{"sku": "L-1"}
	two := strings.Replace(addLamp, "createProduct", "one: createProduct", 1)
	two = strings.TrimSuffix(two, "}") + ` two: createCategory(input: {name: "C"}) { category { id } } }`
	placing := `mutation { placeOrder(input: {order: {customerId: "` + addCustomer(t, c, "one@tests.example") + `", items: [{productId: "` + addProduct(t, c, "sold", "Sold", "").ID + `", quantity: 1}]}}) { order { id } } }`
	key, _ := addAPIKey(t, c, "Key", "ORDERS_READ")
	before := columnsOf(t, c.Tenant.ID)
	for name, bad := range map[string]struct {
		key      []string
		document string
	}{
		"300 bytes":            {[]string{strings.Repeat("k", 300)}, addLamp},
		"an order":             {[]string{strings.Repeat("k", 300)}, placing},
		"256 bytes":            {[]string{strings.Repeat("k", 256)}, addLamp},
		"empty":                {[]string{""}, addLamp},
		"empty in quotes":      {[]string{`""`}, addLamp},
		"one quote":            {[]string{`"key`}, addLamp},
		"a space":              {[]string{"a key"}, addLamp},
		"not ASCII":            {[]string{"schlüssel"}, addLamp},
		"two":                  {[]string{"one", "two"}, addLamp},
		"two root fields":      {[]string{"key"}, two},
		"a fragment":           {[]string{"key"}, strings.Replace(strings.Replace(addLamp, "createProduct", "... on Mutation { createProduct", 1), "code } }", "code } } }", 1)},
		"signOut":              {[]string{"key"}, `mutation { signOut { clientMutationId } }`},
		"createApiKey":         {[]string{"key"}, `mutation { createApiKey(input: {name: "n", scopes: [ORDERS_READ]}) { secret } }`},
		"rotateApiKey":         {[]string{"key"}, `mutation { rotateApiKey(input: {id: "` + key + `"}) { secret } }`},
		"revokeApiKey":         {[]string{"key"}, `mutation { revokeApiKey(input: {id: "` + key + `"}) { apiKey { id } } }`},
		"createInvitationLink": {[]string{"key"}, `mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["tests.example"]}) { token } }`},
		"transferOwnership":    {[]string{"key"}, `mutation { transferOwnership(input: {memberId: "` + id.NewMember().String() + `"}) { member { id } } }`},
		"signIn":               {[]string{"key"}, `mutation { signIn(input: {email: "x@tests.example", password: "x"}) { userErrors { code } } }`},
	} {
		vars := variables
		if !strings.Contains(bad.document, "$sku") {
			vars = nil
		}
		if answer := withKey(c, bad.key...).Do(t, bad.document, vars); answer.Status != http.StatusBadRequest || answer.Code() != "BAD_REQUEST" {
			t.Errorf("%s: status %d: %s", name, answer.Status, answer.Body)
		}
	}
	if after := columnsOf(t, c.Tenant.ID); !maps.Equal(before, after) {
		t.Errorf("something was done: %s", cmp.Diff(before, after))
	}
	c.Must(t, placing, nil, nil)
	if after := columnsOf(t, c.Tenant.ID); maps.Equal(before, after) {
		t.Error("an order was placed, and no row has changed")
	}
	// 255 bytes will do, and quotes are not part of the key.
	longest := strings.Repeat("k", 255)
	first := withKey(c, longest).Do(t, addLamp, variables)
	if again := withKey(c, `"`+longest+`"`).Do(t, addLamp, variables); first.Code() != "" || !bytes.Equal(first.Body, again.Body) {
		t.Errorf("%s\nthen\n%s", first.Body, again.Body)
	}
}

// An answer in parts could not be kept: a mutation is answered at once, whatever it defers.
func TestKeyedMutationWithADeferredPart(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	c := withKey(api.NewTenant(t), "key")
	c.Header.Set("Accept", "multipart/mixed, application/json")
	document := strings.Replace(addLamp, "{ id sku }", "{ id ... @defer { sku } }", 1)
	first := c.Do(t, document, map[string]any{"sku": "L-1"})
	again := c.Do(t, document, map[string]any{"sku": "L-1"})
	if !strings.Contains(string(first.Body), `"userErrors":[]`) || !bytes.Equal(first.Body, again.Body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s\nthen\n%s", first.Body, again.Body)
	}
}

// Code generators ask for the type's name everywhere, beside the field as well.
func TestKeyedMutationWithTheNameOfItsType(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	c := withKey(api.NewTenant(t), "key")
	document := strings.Replace(addLamp, "{ createProduct", "{ __typename createProduct", 1)
	first := c.Do(t, document, map[string]any{"sku": "L-1"})
	if _, err := pgtest.Superuser(t).Exec(t.Context(), `update shared.idempotency_keys set answer = null where tenant_id = $1`, c.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	for _, again := range []*apitest.Answer{c.Do(t, document, map[string]any{"sku": "L-1"}), c.Do(t, document, map[string]any{"sku": "L-1"})} {
		if !strings.HasPrefix(string(first.Body), `{"data":{"__typename":"Mutation","createProduct":{"product":{`) || !bytes.Equal(first.Body, again.Body) {
			t.Errorf("%s\nthen\n%s", first.Body, again.Body)
		}
	}
}

// Who has lost the right since gets no old answer.
func TestReplayChecksTheRightsAgain(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	c := withKey(owner.Member(t, auth.RoleMember), "key")
	variables := map[string]any{"sku": "L-1"}
	c.Must(t, addLamp, variables, nil)
	owner.Must(t, `mutation($id: ID!) { changeMemberRole(input: {id: $id, role: VIEWER}) { member { role } } }`, map[string]any{"id": c.Membership(t)}, nil)
	c.Token = signIn(t, api, c).AccessToken
	if answer := c.Do(t, addLamp, variables); answer.Code() != "FORBIDDEN" || strings.Contains(string(answer.Body), "prod_") {
		t.Errorf("%s", answer.Body)
	}
}

// An expired key is a new one.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	c := withKey(owner, "key")
	c.Must(t, addLamp, map[string]any{"sku": "L-1"}, nil)
	super := pgtest.Superuser(t)
	if _, err := super.Exec(t.Context(), `update shared.idempotency_keys set expires_at = now() - interval '1 second' where tenant_id = $1`, owner.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	var made struct {
		CreateProduct struct{ Product struct{ Sku string } }
	}
	c.Must(t, addLamp, map[string]any{"sku": "L-2"}, &made)
	if made.CreateProduct.Product.Sku != "L-2" {
		t.Errorf("made %+v", made)
	}
	if n := columnOne[int](t, super, `select count(*) from shared.idempotency_keys where tenant_id = $1`, owner.Tenant.ID); n != 1 {
		t.Errorf("%d keys are kept, want 1", n)
	}
}

// Nobody holds more keys than there may be, whatever becomes of what is asked under
// them; and a key that has expired is held no more, though nobody has swept it.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	const most = 10_000
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	super := pgtest.Superuser(t)
	keys := func() int {
		t.Helper()
		return columnOne[int](t, super, `select count(*) from shared.idempotency_keys where tenant_id = $1`, owner.Tenant.ID)
	}
	refused := map[string]any{"sku": ""}
	first := withKey(owner, "0").Do(t, addLamp, refused)
	if _, err := super.Exec(t.Context(), `insert into shared.idempotency_keys (tenant_id, id, user_id, key, request_hash, answer, expires_at)
		select tenant_id, gen_random_uuid(), user_id, n::text, request_hash, answer, expires_at
		from shared.idempotency_keys, generate_series(1, $2) as n where tenant_id = $1`, owner.Tenant.ID, most-1); err != nil {
		t.Fatal(err)
	}
	if a := withKey(owner, "more").Do(t, addLamp, map[string]any{"sku": "L-1"}); a.Code() != "RATE_LIMITED" {
		t.Errorf("done under one key too many: %s", a.Body)
	}
	if a := withKey(owner, "more").Do(t, addLamp, refused); !bytes.Equal(a.Body, first.Body) || keys() != most {
		t.Errorf("%d keys, and the answer was %s", keys(), a.Body)
	}
	if a := withKey(owner, "0").Do(t, addLamp, refused); a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a key that was held already: %s", a.Body)
	}
	if _, err := super.Exec(t.Context(), `insert into shared.idempotency_keys (tenant_id, id, user_id, key, request_hash, expires_at)
		select tenant_id, gen_random_uuid(), gen_random_uuid(), 'of another', request_hash, now() - interval '1 day'
		from shared.idempotency_keys, generate_series(1, 100) where tenant_id = $1 and key = '0'`, owner.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), `update shared.idempotency_keys set expires_at = now() - interval '1 second' where tenant_id = $1 and key <> 'of another'`, owner.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	before := keys()
	if a := withKey(owner, "more").Do(t, addLamp, map[string]any{"sku": "L-1"}); a.Code() != "" || !strings.Contains(string(a.Body), `"userErrors":[]`) || keys() >= before {
		t.Errorf("with expired keys alone: %d of %d keys, %s", keys(), before, a.Body)
	}
}

// The same request from many places at once is done once, and answered alike.
func TestTheSameRequestManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	c := withKey(owner, "key")
	bodies := make([]string, 16)
	var all sync.WaitGroup
	for i := range bodies {
		all.Go(func() { bodies[i] = string(c.Do(t, addLamp, map[string]any{"sku": "L-1"}).Body) })
	}
	all.Wait()
	for i, body := range bodies {
		if body != bodies[0] || !json.Valid([]byte(body)) || !strings.Contains(body, `"userErrors":[]`) {
			t.Errorf("request %d was answered %s, the first %s", i, body, bodies[0])
		}
	}
	if n := columnOne[int](t, pgtest.Superuser(t), `select count(*) from shared.events where tenant_id = $1 and action = 'product.created'`, owner.Tenant.ID); n != 1 {
		t.Errorf("it was done %d times", n)
	}
}
