//go:build race

package apitest

func init() { slowness = 3 }
