package control

import "time"

// AllReserved are the slugs that no tenant gets.
var AllReserved = reserved

// SetAge changes how old what the registry tells may be.
func (r *Registry) SetAge(age time.Duration) { r.homes.Age = age }
