package control

import "time"

// SetAge changes how old what the registry tells may be.
func (r *Registry) SetAge(age time.Duration) { r.age = age }
