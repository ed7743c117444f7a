package job

import (
	"crypto/x509"
	"time"

	"github.com/google/uuid"
)

// Trust has an SMTP client trust what roots signed.
func (c *SMTP) Trust(roots *x509.CertPool) { c.roots = roots }

// Hurry shortens how long a step may take.
func (c *SMTP) Hurry(d time.Duration) { c.timeout = d }

// Render is the message of a mail as it would leave, created at a time.
func Render(c Config, id uuid.UUID, m Mail, created time.Time) (*Message, error) {
	r, err := newRenderer(c)
	if err != nil {
		return nil, err
	}
	if m, err = m.clean(); err != nil {
		return nil, err
	}
	return r.render(mail{ID: id, Mail: m}, created)
}

// Templates are all there are.
func Templates() []Template {
	var all []Template
	for name := range needs {
		all = append(all, name)
	}
	return all
}
