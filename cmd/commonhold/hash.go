package main

import (
	"os"
	"runtime"

	"github.com/commonhold/commonhold/internal/auth"
)

// hashCmd is what a server starts to have passwords hashed: it is for no person.
type hashCmd struct{}

func (hashCmd) Run() error { return auth.ServeHashes(os.Stdin, os.Stdout) }

// newPasswords hashes in a process of its own, of this very program.
func newPasswords() *auth.Passwords {
	self, err := os.Executable()
	if err != nil || runtime.GOOS == "linux" {
		self = "/proc/self/exe" // also after an upgrade has put another in its place
	}
	passwords := auth.NewPasswords(auth.DefaultPasswordParams())
	passwords.HashApart(self, "hash")
	return passwords
}
