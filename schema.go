// Package commonhold carries the public contract, for who serves it.
package commonhold

import _ "embed"

// Schema is schema.graphql.
//
//go:embed schema.graphql
var Schema string
