package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
)

// outgoing says how mail leaves a server.
type outgoing struct {
	SMTPURL  string `help:"Server that takes our mail: smtps://USER:PASSWORD@HOST:465, or smtp://USER:PASSWORD@HOST:587 for STARTTLS." name:"smtp-url" placeholder:"URL" env:"COMMONHOLD_SMTP_URL"`
	MailFrom string `help:"Sender of our mail, such as Commonhold <no-reply@example.com>." placeholder:"ADDRESS" env:"COMMONHOLD_MAIL_FROM"`
}

// smtp reads the settings, which complete has seen to be there.
func (o outgoing) smtp() (*job.SMTP, error) {
	if _, err := job.ParseFrom(o.MailFrom); err != nil {
		return nil, fault.New(fault.Config, "--mail-from must look like Commonhold <no-reply@example.com>.")
	}
	return job.ParseSMTP(o.SMTPURL)
}

// mailStopTime is how long a mail under way may take when a server stops: some more
// than a delivery is given.
const mailStopTime = 20 * time.Second

// sendMail sends what transactions leave until stop is called, which waits for what is
// under way and comes before the database is closed. Links begin with publicURL and
// carry tokens of keys.
func sendMail(ctx context.Context, db *postgres.DB, keys *keyring.Keyring, publicURL, from string, deliver job.Deliver) (stop func(), err error) {
	jobs, err := job.Start(ctx, job.Config{DB: db, Keys: keys, PublicURL: publicURL, From: from, Deliver: deliver})
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mailStopTime)
		defer cancel()
		if err := jobs.Stop(ctx); err != nil {
			slog.WarnContext(ctx, "mail was not ended in time", "error", err)
		}
	}, nil
}
