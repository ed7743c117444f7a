package graph

import (
	"slices"
	"strings"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
)

// maxCost keeps a sum of nested pages from overflowing.
const maxCost = 1 << 40

// longText is what a text of up to 40 KB costs: asked for often enough, it makes an
// answer of any size.
const longText = 50

// unindexed are the fields of filters that no index serves.
var unindexed = []string{"name", "inStock", "status", "action", "actorId", "entityId"}

// wholeTable is what it costs to look at everything that a tenant has of a kind: to
// count it, or to search it for what no index has. A request may do so some twenty times.
const wholeTable = 1000

// TableCost is what a field costs beside its cost function, for a table that it reads
// from end to end: once, however many entries ask for it, because a loader reads it for
// all. So are filters that no index serves; where a cursor is given, what lies behind it
// may be looked for too.
func TableCost(object, field string, arguments map[string]any) int {
	if strings.HasSuffix(object, "Connection") && field == "totalCount" || object == "Tenant" && (field == "stats" || field == "onboarding") {
		return wholeTable
	}
	filter, _ := arguments["filter"].(map[string]any)
	if !slices.ContainsFunc(unindexed, func(field string) bool { return filter[field] != nil }) {
		return 0
	}
	if arguments["after"] != nil || arguments["before"] != nil {
		return 2 * wholeTable
	}
	return wholeTable
}

// complexity says what each connection costs: its page times what is asked of each
// entry. A long text costs more than a short one, and every other field one more
// than its children, gqlgen's default.
func complexity() (c generated.ComplexityRoot) {
	c.Query.Products = func(child int, first *int32, _ *string, last *int32, _ *string, _ *generated.ProductFilter, _ *generated.ProductOrder) int {
		return pageCost(child, first, last)
	}
	c.Query.Nodes = func(child int, ids []*id.Any) int { return min(1+len(ids)*child, maxCost) }
	c.Mutation.ProductsUpsert = func(child int, rows []*generated.ProductUpsertInput, _ generated.ProductsUpsertErrorPolicy) int {
		return min(1+len(rows)*child, maxCost)
	}
	c.Viewer.Sessions = func(child int) int { return 1 + auth.MaxSessions*child }
	c.Query.SlugAvailable = func(int, string) int { return wholeTable } // it writes down who asks: a few at a time
	c.Query.Categories = connectionCost
	c.Query.Members = connectionCost
	c.Query.Invitations = connectionCost
	c.Query.InvitationLinks = connectionCost
	c.Viewer.Memberships = func(child int) int { return pageCost(child, nil, nil) } // there are seldom more
	c.Query.APIKeys = connectionCost
	c.Category.Products = connectionCost
	c.Query.Customers = connectionCost
	c.Query.Orders = func(child int, first *int32, _ *string, last *int32, _ *string, _ *generated.OrderFilter) int {
		return pageCost(child, first, last)
	}
	c.Customer.Orders = connectionCost
	c.Query.AuditLog = auditCost
	c.Query.AccessLog = auditCost
	// Lines come without pages. An order has some, seldom the hundred it may have;
	// that is not counted upon where long texts are asked for.
	c.Order.Items = func(child int) int {
		if child > longText {
			return min(1+maxLines*child, maxCost)
		}
		return pageCost(child, nil, nil)
	}
	c.Product.Description = func(int) int { return longText }
	// What was before and what is now: a product has one long text.
	c.AuditEvent.Data = func(int) int { return 2 * longText }
	return c
}

func connectionCost(child int, first *int32, _ *string, last *int32, _ *string) int {
	return pageCost(child, first, last)
}

func auditCost(child int, first *int32, _ *string, last *int32, _ *string, _ *generated.AuditFilter) int {
	return pageCost(child, first, last)
}

func pageCost(child int, first, last *int32) int {
	size := defaultPage
	for _, asked := range []*int32{first, last} {
		if asked != nil {
			size = min(max(int(*asked), 1), maxPage)
		}
	}
	return min(1+size*child, maxCost)
}
