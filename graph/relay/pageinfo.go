// Package relay has what connections are made of that no table has (Relay cursor
// connections specification).
package relay

import (
	"context"
	"sync"
)

// PageInfo says what lies beyond a page.
type PageInfo struct {
	StartCursor, EndCursor *string // of the first and last entry, nil where the page is empty

	previous, next func(context.Context) (bool, error)
}

// NewPageInfo is of a page between what previous and next tell of. Each is asked once
// at most, and only where a request wants to know.
func NewPageInfo(previous, next func(context.Context) (bool, error)) *PageInfo {
	return &PageInfo{previous: once(previous), next: once(next)}
}

// HasPreviousPage tells whether there is something before the page.
//
// Errors: those of reading.
func (i *PageInfo) HasPreviousPage(ctx context.Context) (bool, error) { return i.previous(ctx) }

// HasNextPage tells whether there is something after the page.
//
// Errors: those of reading.
func (i *PageInfo) HasNextPage(ctx context.Context) (bool, error) { return i.next(ctx) }

func once(look func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	var first sync.Once
	var is bool
	var err error
	return func(ctx context.Context) (bool, error) {
		first.Do(func() { is, err = look(ctx) })
		return is, err
	}
}
