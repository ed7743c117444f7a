package postgres_test

import (
	"context"
	"testing"

	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestOneReadIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx, counter := postgres.WithCounter(context.Background())
	_, err := w.DB.Home(w.Tenant.ID).Read().GetProduct(ctx, tenantsql.GetProductParams{TenantID: w.Tenant.ID, ID: id.NewProduct()})
	if !postgres.IsNoRows(err) {
		t.Fatal(err)
	}
	if counter.Statements() != 1 {
		t.Errorf("statements: %d", counter.Statements())
	}
}
