// Package twoworlds compares a database that holds tenants A and B with one that
// holds A alone. A stream of random operations, made from the schema, runs as A in
// both, with the same clock and the same randomness: whatever A can see of B, or
// change of it, is a difference. Everything in it is a test.
package twoworlds
