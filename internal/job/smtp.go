package job

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/commonhold/commonhold/internal/fault"
)

// smtpTime bounds each of the three parts of a delivery: connecting, saying who we are,
// handing over.
const smtpTime = 10 * time.Second

// SMTP is the server that takes our mail. Printing one shows where it is.
type SMTP struct {
	host     string
	port     int
	implicit bool // TLS from the first byte; else STARTTLS
	bare     bool // no TLS at all
	user     string
	password string
	roots    *x509.CertPool // nil: the system's
	timeout  time.Duration
}

// ParseSMTP reads where mail goes: smtps://USER:PASSWORD@HOST:465 speaks TLS from the
// first byte, smtp://USER:PASSWORD@HOST:587 begins it with STARTTLS, and hands nothing
// over without. Only smtp://127.0.0.1:25, this machine itself and without a password,
// goes without TLS.
//
// Errors: fault.Config; nothing of the URL is in it.
func ParseSMTP(s string) (*SMTP, error) {
	refused := fault.New(fault.Config, "The SMTP URL must look like smtps://USER:PASSWORD@HOST:465, or smtp://USER:PASSWORD@HOST:587 for STARTTLS. In a password write %%40 for an @.")
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, refused
	}
	c := &SMTP{host: u.Hostname(), timeout: smtpTime}
	switch u.Scheme {
	case "smtps":
		c.port, c.implicit = 465, true
	case "smtp":
		c.port = 587
	default:
		return nil, refused
	}
	if port := u.Port(); port != "" {
		if c.port, err = strconv.Atoi(port); err != nil || c.port < 1 || c.port > 65535 {
			return nil, refused
		}
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
		if c.user == "" || c.password == "" {
			return nil, refused
		}
	}
	ip := net.ParseIP(c.host)
	c.bare = !c.implicit && c.user == "" && (c.host == "localhost" || ip != nil && ip.IsLoopback())
	return c, nil
}

// String is where it is.
func (c *SMTP) String() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }

// Format answers every verb alike: without it %v would print the password.
func (c *SMTP) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Deliver hands a message over. A refusal of this address or of this message is a
// *RefusedError; whatever else is wrong may be mended, also a 5xx answer to who we are.
func (c *SMTP) Deliver(ctx context.Context, m *Message) error {
	message, err := m.compose()
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return fmt.Errorf("prepare the connection: %w", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return errors.New("connect: " + reason(err))
	}
	err = client.SendWithSMTPClient(conn, message)
	if message.IsDelivered() { // what comes after that answer changes nothing
		_ = client.CloseWithSMTPClient(conn)
		return nil
	}
	_ = conn.Close()
	failed, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return errors.New("hand over: " + reason(err))
	}
	why := failed.Reason.String()
	if code := failed.ErrorCode(); code != 0 {
		why += fmt.Sprintf(" was answered by %d %s", code, failed.EnhancedStatusCode())
	}
	why = strings.TrimSpace(why)
	// RFC 5321, section 4.2.1: 5yz is for ever. But X.7.Z speaks of us, not of the
	// address (RFC 3463, section 3.8): we may not relay, or are on a list.
	about := failed.Reason == gomail.ErrSMTPRcptTo || failed.Reason == gomail.ErrSMTPData || failed.Reason == gomail.ErrSMTPDataClose
	if about && failed.ErrorCode() >= 500 && !strings.HasPrefix(failed.EnhancedStatusCode(), "5.7.") {
		return &RefusedError{why}
	}
	return errors.New(why)
}

func (c *SMTP) client() (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(c.port), gomail.WithTimeout(c.timeout),
		gomail.WithTLSConfig(&tls.Config{ServerName: c.host, RootCAs: c.roots, MinVersion: tls.VersionTLS12}),
	}
	switch {
	case c.implicit:
		options = append(options, gomail.WithSSL())
	case c.bare:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.user != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.user), gomail.WithPassword(c.password))
	}
	return gomail.NewClient(c.host, options...)
}

// reason is why a connection failed, without what a server may have said about whom.
func reason(err error) string {
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Sprintf("the server answered %d", said.Code)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "the server took too long"
	}
	return err.Error()
}

// compose writes the headers and both bodies.
func (m *Message) compose() (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	message.FromMailAddress(m.From)
	if err := message.To(m.To); err != nil {
		return nil, &RefusedError{"its address cannot be written in a header"}
	}
	message.Subject(m.Subject)
	message.SetMessageIDWithValue(m.ID)
	message.SetDateWithValue(m.Date)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no automatic answers, please
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	message.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return message, nil
}

// Bytes is the message as SMTP carries it.
func (m *Message) Bytes() ([]byte, error) {
	message, err := m.compose()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := message.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return out.Bytes(), nil
}
