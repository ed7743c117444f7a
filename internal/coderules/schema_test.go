package coderules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
)

// Where the public contract takes a word that speaks of a tenant, and why it does
// not choose one.
var tenantsInInput = map[string]string{
	"SignInInput.tenant":             "a slug, which only chooses among the memberships of the person whose password was right",
	"RegisterTenantInput.slug":       "the address of a tenant that does not exist yet; one in use is refused",
	"Mutation.switchTenant(input)":   "what the next line says",
	"SwitchTenantInput.tenant":       "chooses among the memberships of a person who has shown who they are, for a session to come",
	"RegisterTenantInput.tenantName": "the name of a tenant that does not exist yet",
	"ConfirmRegistrationInput.slug":  "as RegisterTenantInput.slug, for the tenant of one registration",
	"Query.slugAvailable(slug)":      "the address of a tenant that does not exist yet, or of any: it tells whether, and nothing of it",
	"Mutation.registerTenant(input)": "what a tenant is to be made of that does not exist yet",
}

// tenantInputs lists the arguments and input fields of a schema that speak of a
// tenant, or whose type does, and the exceptions that are out of date.
func tenantInputs(schema *ast.Schema, excepted map[string]string) (wrong []string) {
	met := make(map[string]bool)
	look := func(site, name string, t *ast.Type) {
		if !choosesTenant(schema, name) && !choosesTenant(schema, t.Name()) {
			return
		}
		if met[site] = true; excepted[site] == "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s asks the caller for a tenant; take it from the context, where the access token put it", site, name))
		}
	}
	for _, definition := range schema.Types {
		if definition.BuiltIn {
			continue
		}
		for _, field := range definition.Fields {
			if definition.Kind == ast.InputObject {
				look(definition.Name+"."+field.Name, field.Name, field.Type)
			}
			for _, argument := range field.Arguments {
				look(definition.Name+"."+field.Name+"("+argument.Name+")", argument.Name, argument.Type)
			}
		}
	}
	for site := range excepted {
		if !met[site] {
			wrong = append(wrong, fmt.Sprintf("%s: the exception is stale", site))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// nounLike are the words for a tenant that can be a noun of its own where tenants keep
// such things.
var nounLike = map[string]string{
	"account": "Account", "accounts": "Account", "company": "Company", "companies": "Company",
	"organization": "Organization", "organizations": "Organization", "organisation": "Organisation", "organisations": "Organisation",
}

// choosesTenant tells the words for a tenant, but for those that a noun of the schema
// took: where a tenant keeps accounts, an id of one says which.
func choosesTenant(schema *ast.Schema, name string) bool {
	return tenantItself.MatchString(name) || slices.ContainsFunc(wordsOf(name), func(word string) bool {
		return tenantWords.MatchString(word) && !slices.ContainsFunc(schema.PossibleTypes["Node"], func(noun *ast.Definition) bool { return noun.Name == nounLike[word] })
	})
}

func TestNoInputChoosesATenant(t *testing.T) {
	t.Parallel()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: commonhold.Schema})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range tenantInputs(schema, tenantsInInput) {
		t.Error(wrong)
	}
}

// What the test above is there for, planted.
func TestInputsThatChooseATenantAreFound(t *testing.T) {
	t.Parallel()
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: `
		type Query {
			products(tenantId: ID!, first: Int): [String!]!
			product(id: ID!, in: Tenant): String
			orders(filter: Filter): String
			signIn(input: SignIn!): Tenanted
			listed(workspace: String!): String
			productsOf(slug: String, org: ID, name: String): String
			categoryCount(account: ID!, customerId: ID, orderBy: String, first: Int): Int
			more(organisationId: ID, orgID: ID, companies: [ID!], customer_account: ID, ofAccounts: [ID!], subdomain: String, where: WorkspaceFilter): Int
			less(organic: Boolean, accounting: String, accompanied: Boolean, organ: Int, slugging: Int, tent: Int, topTen: Int, customer: ID): Int
		}
		input WorkspaceFilter { name: String }
		interface Node { id: ID! }
		input Tenant { slug: String! }
		input Filter { OfTenant: ID, tenant_id: ID, name: String }
		input SignIn { tenant: String }
		type Tenanted { tenantId: ID! }`})
	if err != nil {
		t.Fatal(err)
	}
	var sites []string
	for _, wrong := range tenantInputs(schema, map[string]string{"SignIn.tenant": "a slug", "Gone.tenant": "was a slug"}) {
		site, _, _ := strings.Cut(wrong, ": ")
		sites = append(sites, site)
	}
	want := []string{
		"Filter.OfTenant", "Filter.tenant_id", "Gone.tenant", "Query.categoryCount(account)", "Query.listed(workspace)",
		"Query.more(companies)", "Query.more(customer_account)", "Query.more(ofAccounts)", "Query.more(orgID)", "Query.more(organisationId)", "Query.more(subdomain)", "Query.more(where)",
		"Query.product(in)", "Query.products(tenantId)", "Query.productsOf(org)", "Query.productsOf(slug)", "Tenant.slug",
	}
	if !slices.Equal(sites, want) {
		t.Errorf("found %q, want %q", sites, want)
	}

	// A tenant may keep accounts and companies of its own, but no other tenants.
	nouns, err := gqlparser.LoadSchema(&ast.Source{Input: `
		type Query { company(companyId: ID!, account: ID!, inCompanies: [ID!], organization: ID, workspace: ID): Company }
		interface Node { id: ID! }
		type Account implements Node { id: ID! }
		type Company implements Node { id: ID! }
		type Workspace implements Node { id: ID! }`})
	if err != nil {
		t.Fatal(err)
	}
	if wrong := tenantInputs(nouns, nil); len(wrong) != 2 || !strings.HasPrefix(wrong[0], "Query.company(organization)") || !strings.HasPrefix(wrong[1], "Query.company(workspace)") {
		t.Errorf("business nouns: %q", wrong)
	}
}
