package main

import (
	"context"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
)

type demoCmd struct {
	Tenants  int `help:"How many tenants, demo-00001 and on." default:"10" placeholder:"N"`
	Products int `help:"How many products in each." default:"1000" placeholder:"M"`
	local    `embed:""`
}

// Bounds of a demo: a statement takes the products of a tenant as arrays.
const (
	maxDemoTenants  = 99_999
	maxDemoProducts = 200_000
)

func (d *demoCmd) Run(ctx context.Context, con console) error {
	if d.Tenants < 1 || d.Tenants > maxDemoTenants || d.Products < 0 || d.Products > maxDemoProducts {
		return fault.New(fault.Usage, "--tenants must be 1 to %d and --products 0 to %d.", maxDemoTenants, maxDemoProducts)
	}
	u, err := d.open(ctx, con)
	if err != nil {
		return err
	}
	defer u.stop()
	db, registry, err := connect(ctx, postgres.Config{AppURL: u.app, ControlURL: u.control})
	if err != nil {
		return err
	}
	defer db.Close()
	begin := time.Now()
	tell, finish := progress(con, "tenants", d.Tenants)
	err = demo.Populate(ctx, db, registry, d.Tenants, d.Products, tell)
	finish()
	if err != nil {
		return err
	}
	con.say("%d tenants with %d products each in %s", d.Tenants, d.Products, time.Since(begin).Round(time.Millisecond))
	return nil
}

// progress shows long work: a bar on a terminal, a line every few seconds elsewhere.
func progress(con console, what string, total int) (tell func(done int), finish func()) {
	if !con.terminal {
		last := time.Now()
		return func(done int) {
			if time.Since(last) >= 3*time.Second {
				last = time.Now()
				con.say("%d of %d %s", done, total, what)
			}
		}, func() {}
	}
	p := mpb.New(mpb.WithOutput(con.err), mpb.WithWidth(60))
	bar := p.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d / %d")),
		mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO)))
	return func(done int) { bar.SetCurrent(int64(done)) }, func() {
		if !bar.Completed() {
			bar.Abort(false)
		}
		p.Wait()
	}
}
