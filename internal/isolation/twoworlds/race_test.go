//go:build race

package twoworlds

// The race detector looks for something else, and takes ten times as long.
func init() {
	requests, most = 500, 0 // whether everything was asked is seen without it
	planted = planted[:2]
}
