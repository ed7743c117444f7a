package coderules

import (
	"go/ast"
	"go/types"
	"regexp"
	"slices"
)

// One message of the extended protocol carries one statement; a text of the simple
// protocol can carry a second one, and then SET LOCAL is within reach.
// TestExtendedProtocolOnly sees the same on the wire, for the paths it takes.
var protocolRule = rule{name: "protocol", check: simpleProtocol, excepted: map[string]exception{
	"internal/postgres.checkMode":       {2, "the mode is named to be refused"},
	"internal/postgres.status":          {2, "constants of a migrator's own connection: set role, reset role"},
	"internal/postgres.bootstrap":       {1, "an embedded file of several statements, sent by a migrator: it must be one message to be one transaction"},
	"internal/postgres.CreateDatabase":  {1, "a migrator's statement, which takes no parameters"},
	"internal/postgres.SetRolePassword": {1, "a migrator's statement, which takes no parameters"},
	"internal/isolation.Doctor":         {1, "an embedded file of one statement, on doctor's own connection"},
	"internal/bench":                    {anyNumber, "a tool that measures other ways to reach a tenant than the handle; nothing imports it"},
}}

// byText are the methods of pgconn that send a text by the simple protocol, and
// those of pgx that go round the statements of queries/.
var byText = map[string]string{
	"(*github.com/jackc/pgx/v5/pgconn.PgConn).Exec":          "sends its text by the simple protocol",
	"(*github.com/jackc/pgx/v5/pgconn.PgConn).CopyTo":        "sends its text by the simple protocol",
	"(*github.com/jackc/pgx/v5/pgconn.PgConn).CopyFrom":      "sends its text by the simple protocol",
	"(*github.com/jackc/pgx/v5.Conn).CopyFrom":               "writes rows past the statements of queries/",
	"(github.com/jackc/pgx/v5.Tx).CopyFrom":                  "writes rows past the statements of queries/",
	"(*github.com/jackc/pgx/v5/pgxpool.Pool).CopyFrom":       "writes rows past the statements of queries/",
	"(*github.com/jackc/pgx/v5/pgxpool.Conn).CopyFrom":       "writes rows past the statements of queries/",
	"(*github.com/jackc/pgx/v5/pgxpool.Tx).CopyFrom":         "writes rows past the statements of queries/",
	"(*github.com/jackc/pgx/v5/pgproto3.Frontend).SendQuery": "sends its text by the simple protocol",
}

func simpleProtocol(p *pack) (found []violation) {
	p.constants(func(site string, e ast.Expr, text string) {
		if modeInURL.MatchString(text) {
			found = append(found, p.at(site, e, "%.40q chooses how statements are sent; who runs the server does that in its URL, and checkMode of internal/postgres refuses what is not served", text))
		}
	})
	p.each(func(site string, n ast.Node) {
		if e, ok := n.(ast.Expr); ok && p.modeByNumber(e) {
			found = append(found, p.at(site, n, "a mode by its number may be the simple protocol, in which one text may carry two statements; leave the mode out"))
		}
		switch n := n.(type) {
		case *ast.Ident:
			switch used := p.info.Uses[n].(type) {
			case *types.Const:
				if used.Name() == "QueryExecModeSimpleProtocol" {
					found = append(found, p.at(site, n, "the simple protocol lets one text carry two statements; leave the mode out"))
				}
			case *types.Var:
				if used.Name() == "BeginQuery" && used.IsField() && used.Pkg() != nil && isPgx(used.Pkg().Path()) {
					found = append(found, p.at(site, n, "BeginQuery is sent by the simple protocol; use the fields IsoLevel and AccessMode"))
				}
			case *types.Func:
				if why, ok := byText[used.FullName()]; ok {
					found = append(found, p.at(site, n, "%s %s; write a query in queries/ and call it through a handle", used.Name(), why))
				}
			}
		case *ast.CallExpr:
			fn := p.called(n)
			if fn == nil || fn.Name() != "Exec" || !takesSQL(fn) || !givesTag(fn) {
				return
			}
			if _, ok := byText[fn.FullName()]; ok {
				return
			}
			if p.path != "internal/postgres" {
				found = append(found, p.at(site, n, "only internal/postgres calls Exec; write a query in queries/ and call it through a handle"))
			} else if len(n.Args) < 3 || n.Ellipsis.IsValid() || p.onlyModes(n.Args[2:]) {
				found = append(found, p.at(site, n, "without arguments pgx sends this by the simple protocol; send it with Query and finish"))
			}
		}
	})
	return found
}

// modeInURL tells texts that go into a connection string; advice to who runs the
// server names the modes too, but none that is simple.
var modeInURL = regexp.MustCompile(`simple_protocol|default_query_exec_mode['"]?\s*=?\s*$`)

// modeByNumber tells a mode of pgx that is not named: a number, or what is computed.
func (p *pack) modeByNumber(e ast.Expr) bool {
	if tv := p.info.Types[e]; tv.IsType() || tv.Type == nil || tv.Type.String() != "github.com/jackc/pgx/v5.QueryExecMode" {
		return false
	}
	switch e := e.(type) {
	case *ast.BasicLit, *ast.BinaryExpr:
		return true
	case *ast.CallExpr:
		return p.info.Types[e.Fun].IsType()
	}
	return false
}

// givesTag tells the Exec of pgx, and of interfaces that stand for it, from others.
func givesTag(fn *types.Func) bool {
	results := fn.Signature().Results()
	return results.Len() == 2 && slices.Contains([]string{"github.com/jackc/pgx/v5/pgconn.CommandTag", "database/sql.Result"}, named(results.At(0).Type()))
}

// onlyModes tells that no argument is one of the statement's.
func (p *pack) onlyModes(args []ast.Expr) bool {
	return !slices.ContainsFunc(args, func(arg ast.Expr) bool {
		return named(p.info.Types[arg].Type) != "github.com/jackc/pgx/v5.QueryExecMode"
	})
}
