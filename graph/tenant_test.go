package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// Each step is done by what it names and by nothing else, for whoever looks, and for
// nobody in another tenant.
func TestOnboardingFillsItself(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, other := api.NewTenant(t), api.NewTenant(t)
	steps := []string{"ADD_PRODUCT", "ADD_CUSTOMER", "PLACE_ORDER", "INVITE_MEMBER"}
	is := func(c *apitest.Client, done ...string) {
		t.Helper()
		var got struct {
			Tenant struct {
				Onboarding struct {
					Steps []struct {
						Key  string
						Done bool
					}
				}
			}
		}
		c.Must(t, `{ tenant { onboarding { steps { key done } } } }`, nil, &got)
		var keys []string
		for _, s := range got.Tenant.Onboarding.Steps {
			keys = append(keys, s.Key)
			if s.Done != slices.Contains(done, s.Key) {
				t.Errorf("%s is done: %v, after %v", s.Key, s.Done, done)
			}
		}
		if !slices.Equal(keys, steps) {
			t.Errorf("the steps %v", keys)
		}
	}
	is(owner)
	addCategory(t, owner, "Category", "")
	is(owner)
	invite(t, owner, "somebody@tests.example", "VIEWER")
	is(owner, "INVITE_MEMBER")
	customer := addCustomer(t, owner, "one@tests.example")
	is(owner, "INVITE_MEMBER", "ADD_CUSTOMER")
	product := goods(t, owner, "one", 10, "1.00")
	is(owner, "INVITE_MEMBER", "ADD_CUSTOMER", "ADD_PRODUCT")
	addOrder(t, owner, customer, item(product, 1)) // a draft
	is(owner, "INVITE_MEMBER", "ADD_CUSTOMER", "ADD_PRODUCT")
	place(t, owner, customer, item(product, 1))
	is(owner.Member(t, auth.RoleViewer), steps...)
	is(other)
	// What was done stays done.
	mutate(t, owner, "deleteCategory", map[string]any{"id": addCategory(t, owner, "Another", ""), "version": 1})
	is(owner, steps...)
}

// What is in a tenant shows in a session there, not to who signs in to it somewhere else.
func TestATenantsInsideIsOfItsSessions(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	one := api.NewTenant(t)
	two := "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	if _, _, err := api.Auth.Register(t.Context(), auth.Registration{
		Tenant: control.Registration{Name: "Second", Slug: two, Currency: "EUR"}, Email: one.Email, Password: apitest.Password, DisplayName: "Owner",
	}); err != nil {
		t.Fatal(err)
	}
	for field, selection := range map[string]string{"stats": "{ orders }", "onboarding": "{ steps { done } }"} {
		document := `mutation($email: String!) { signIn(input: {email: $email, password: "` + apitest.Password + `"}) { memberships { tenant { slug ` + field + selection + ` } } userErrors { code } } }`
		for name, c := range map[string]*apitest.Client{"signed in": one, "signed out": api.Anonymous()} {
			a := c.Do(t, document, map[string]any{"email": one.Email})
			want := "FORBIDDEN"
			if name == "signed out" {
				want = "UNAUTHENTICATED"
			}
			refused := 0
			for _, err := range a.Errors {
				if err.Extensions["code"] == want {
					refused++
				}
			}
			if refused == 0 || refused != len(a.Errors) || strings.Contains(string(a.Body), `"slug":"`+two+`","`+field+`":{`) {
				t.Errorf("%s, %s: %s", field, name, a.Body)
			}
		}
	}
}
