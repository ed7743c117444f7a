package server

import (
	"github.com/99designs/gqlgen/graphql/handler"
)

// NewExecutor is the executor alone, without the middleware around it.
func NewExecutor(c Config) *handler.Server {
	return newGraphQL(c).(*handler.Server)
}
