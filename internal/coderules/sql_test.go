package coderules

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Statements stand in queries/ and in migrations, where sqlc types them, the static
// proof reads them and people look for them.
var textRule = rule{
	name:  "sql-text",
	check: sqlTexts,
	excepted: map[string]exception{
		"internal/postgres.enterHome":        {1, "the frame of the handle: its round trip begins with it, and sqlc would make it a round trip of its own"},
		"internal/postgres.enterAccount":     {1, "the frame of the handle, as enterHome"},
		"internal/postgres.lockTenant":       {1, "the frame of the handle, as enterHome"},
		"internal/postgres.frame":            {3, "the names by which the counter knows the frame: begin, commit, rollback"},
		"internal/postgres.DB.InControlTx":   {1, "the frame of a transaction: begin"},
		"internal/postgres.inTx":             {2, "the frame of a transaction: commit, and the word by which the server says that it did"},
		"internal/postgres.rollback":         {1, "the frame of a transaction: rollback"},
		"internal/postgres.ping":             {1, "select 1: it reads nothing"},
		"internal/postgres.askRole":          {1, "asked of a pool before it is one: who we are, of the catalog alone"},
		"internal/postgres.listenForChanges": {1, "listen is no query of sqlc's: it belongs to a connection, which the listener has for itself"},
		"internal/postgres.askProcess":       {1, "reads nothing but which process answers: whether a pooler stands between, or nobody"},

		"internal/postgres.Migrate":         {2, "a migrator's own connection, before there is a schema for sqlc to read"},
		"internal/postgres.status":          {3, "as Migrate: whom to act as"},
		"internal/postgres.appliedVersion":  {2, "as Migrate: the ledger is goose's, one in each schema"},
		"internal/postgres.connectAdmin":    {1, "as Migrate: which version the server is"},
		"internal/postgres.reportHardening": {1, "as Migrate: of the catalog alone"},
		"internal/postgres.CreateDatabase":  {1, "as Migrate: creates a database, which no migration can"},
		"internal/postgres.SetRolePassword": {1, "as Migrate: a password is no schema"},
		"internal/postgres.HasPassword":     {1, "as Migrate: of the catalog alone"},
		"internal/isolation.ask":            {1, "the frame around the checks, which are files"},
		"internal/bench":                    {anyNumber, "a tool that measures against tables of its own, on a server of its own; nothing imports it"},
	},
}

// A statement is one constant: what is put together from strings can carry what
// somebody typed.
var builtRule = rule{name: "sql-built", check: sqlBuilt, excepted: map[string]exception{
	"internal/postgres.appliedVersion":  {1, "the schema of a ledger, quoted by pgx.Identifier; a table's name can be no parameter"},
	"internal/postgres.CreateDatabase":  {1, "the name of a database, quoted by pgx.Identifier; it can be no parameter"},
	"internal/postgres.SetRolePassword": {1, "a role quoted by pgx.Identifier and a verifier in base64; ALTER ROLE takes no parameters"},
	"internal/isolation.ask":            {1, "embedded files put into a frame, nothing else"},
}}

// What is sent is a constant that was written here, or a file that was embedded.
var argumentRule = rule{name: "sql-argument", check: sqlArguments, excepted: map[string]exception{
	"internal/postgres.Handle.try":       {2, "the door is one of two constants; the other is what sqlc generated"},
	"internal/postgres.Handle.InTx":      {1, "the door, one of two constants"},
	"internal/postgres.session.build":    {2, "as Handle.try; Prepare takes no arguments, they are sent beside what it made"},
	"internal/postgres.DB.Control":       {1, "passes on what sqlc generated"},
	"internal/postgres.checked.Exec":     {1, "passes on what sqlc generated"},
	"internal/postgres.checked.Query":    {1, "passes on what sqlc generated"},
	"internal/postgres.checked.QueryRow": {1, "passes on what sqlc generated"},
	"internal/postgres.overheard.Exec":   {1, "passes on what sqlc generated"},
	"internal/postgres.bootstrap":        {1, "an embedded file of internal/postgres/bootstrap"},
	"internal/postgres.appliedVersion":   {1, "a quoted schema, see sql-built"},
	"internal/postgres.CreateDatabase":   {1, "a quoted name, see sql-built"},
	"internal/postgres.SetRolePassword":  {1, "a quoted name, see sql-built"},
	"internal/isolation.Doctor":          {1, "an embedded file of internal/isolation"},
	"internal/isolation.Report.identify": {1, "an embedded file of internal/isolation"},
	"internal/isolation.ask":             {1, "embedded files of internal/isolation"},
	"internal/bench":                     {anyNumber, "a tool, see sql-text"},

	"internal/postgres.countTracer.TraceBatchStart": {2, "reads what is sent, to count it"},
}}

const insteadOfText = "SQL stands in queries/ (sqlc makes the Go of it) or in a migration, not in Go"

func sqlTexts(p *pack) (found []violation) {
	p.constants(func(site string, e ast.Expr, text string) {
		if looksLikeSQL(text) {
			found = append(found, p.at(site, e, "%.40q looks like SQL; %s", strings.Join(strings.Fields(text), " "), insteadOfText))
		}
	})
	return found
}

// constants visits every constant string that is not part of a longer one.
func (p *pack) constants(visit func(site string, e ast.Expr, text string)) {
	part := make(map[ast.Expr]bool)
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.Field:
			if n.Tag != nil {
				part[n.Tag] = true
			}
		case ast.Expr:
			text, ok := p.text(n)
			if !ok {
				return
			}
			switch e := n.(type) { // visited before what they hold
			case *ast.BinaryExpr:
				part[e.X], part[e.Y] = true, true
			case *ast.ParenExpr:
				part[e.X] = true
			case *ast.CallExpr: // a conversion
				part[e.Args[0]] = true
			case *ast.SelectorExpr: // a constant by its name, seen where it stands
				part[e.Sel] = true
				return
			case *ast.Ident:
				return
			}
			if part[n] {
				if b, ok := n.(*ast.BinaryExpr); ok {
					part[b.X], part[b.Y] = true, true
				}
				return
			}
			visit(site, n, text)
		}
	})
}

// sqlBuilt finds statements that are put together: by +, by a verb of a format, by
// a builder, a join or a replacement.
func sqlBuilt(p *pack) (found []violation) {
	inner := make(map[ast.Expr]bool)
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op != token.ADD {
				return
			}
			inner[n.X], inner[n.Y] = true, true
			if _, constant := p.text(n); constant || inner[n] || !isString(p.info.Types[n].Type) {
				return
			}
			if text, is := p.builds(n); is {
				found = append(found, p.at(site, n, "%.40q is SQL put together from strings; write one constant statement with parameters", text))
			}
		case *ast.AssignStmt:
			if n.Tok != token.ADD_ASSIGN {
				return
			}
			if text, ok := p.text(n.Rhs[0]); ok && looksLikeSQL(text) {
				found = append(found, p.at(site, n, "%.40q is SQL put together from strings; write one constant statement with parameters", text))
			}
		case *ast.CallExpr:
			fn := p.called(n)
			if fn == nil || fn.Pkg() == nil || !slices.Contains([]string{"fmt", "strings", "bytes", "text/template"}, fn.Pkg().Path()) {
				return
			}
			for _, arg := range n.Args {
				text, is := p.builds(arg)
				if !is {
					continue
				}
				found = append(found, p.at(site, n, "%.40q is SQL put together by %s.%s; write one constant statement with parameters", text, fn.Pkg().Name(), fn.Name()))
				break
			}
		}
	})
	return found
}

// builds tells whether the constants in a string make SQL, all together or one of
// them, and what they are, with x for the rest.
func (p *pack) builds(e ast.Expr) (text string, is bool) {
	parts := p.constantParts(e)
	text = strings.Join(parts, "x")
	return text, looksLikeSQL(text) || slices.ContainsFunc(parts, looksLikeSQL)
}

// constantParts are the constants of a string, between what is not constant.
func (p *pack) constantParts(e ast.Expr) []string {
	if text, ok := p.text(e); ok {
		return []string{text}
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.BinaryExpr:
		return append(p.constantParts(e.X), p.constantParts(e.Y)...)
	case *ast.CompositeLit:
		var parts []string
		for _, element := range e.Elts {
			parts = append(parts, p.constantParts(element)...)
		}
		return parts
	}
	return []string{""}
}

func isString(t types.Type) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsString != 0
}

// sqlArguments finds calls that send a text which is no constant.
func sqlArguments(p *pack) (found []violation) {
	calls := make(map[*ast.Ident]bool)
	p.each(func(site string, n ast.Node) {
		if name, ok := n.(*ast.Ident); ok && !calls[name] {
			switch used := p.info.Uses[name].(type) {
			case *types.Func:
				if takesSQL(used) {
					found = append(found, p.at(site, n, "%s as a value sends whatever text it is given later, where nobody looks; call it where the text is", used.Name()))
				}
			case *types.Var:
				if isQueued(used) {
					found = append(found, p.at(site, n, "%s of a batch is a text that is sent past Queue; call Queue with a constant", used.Name()))
				}
			}
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		if name := calledName(call); name != nil { // visited before the name
			calls[name] = true
		}
		fn := p.called(call)
		if fn == nil || !takesSQL(fn) {
			return
		}
		for _, arg := range call.Args {
			if t := p.info.Types[arg].Type; t == nil || !isString(t) {
				continue
			}
			if _, constant := p.text(arg); !constant {
				found = append(found, p.at(site, call, "%s sends a text that is no constant; call a query of queries/, or pass a constant", fn.Name()))
			}
			if fn.Name() != "Prepare" { // whose first string is a name
				break
			}
		}
	})
	return found
}

// isQueued tells the fields of pgx's batches that hold what will be sent.
func isQueued(field *types.Var) bool {
	if !field.IsField() || field.Pkg() == nil || field.Pkg().Path() != "github.com/jackc/pgx/v5" {
		return false
	}
	if field.Name() != "SQL" {
		return field.Name() == "QueuedQueries"
	}
	queued, ok := field.Pkg().Scope().Lookup("QueuedQuery").Type().Underlying().(*types.Struct)
	return ok && slices.Contains(slices.Collect(queued.Fields()), field)
}

var senders = []string{"Exec", "ExecContext", "ExecParams", "Query", "QueryContext", "QueryRow", "QueryRowContext", "Queue", "Prepare", "PrepareContext", "SendPrepare", "SendQueryParams"}

// takesSQL tells the methods that send a text to a database: pgx's, database/sql's,
// and those of interfaces that stand for them.
func takesSQL(fn *types.Func) bool {
	signature := fn.Signature()
	if signature.Recv() == nil || !slices.Contains(senders, fn.Name()) {
		return false
	}
	takesText := false
	for param := range signature.Params().Variables() {
		takesText = takesText || isString(param.Type())
	}
	if path := fn.Pkg().Path(); path == "database/sql" || isPgx(path) {
		return takesText
	}
	return takesText && signature.Variadic()
}

func isPgx(path string) bool {
	return path == "github.com/jackc/pgx/v5" || strings.HasPrefix(path, "github.com/jackc/pgx/v5/") && path != "github.com/jackc/pgx/v5/pgtype"
}

// How a statement begins, and what stands in one and in no sentence. Prose begins
// with the same verbs, so each asks for what follows in SQL only.
var (
	sqlStart = regexp.MustCompile(`(?is)^[\s(]*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:` + strings.Join([]string{
		`select\b(?:\s*\*\s*(?:,|from\b|$)|\s*[('"$\d:]|\s+(?:distinct|all|exists|count|coalesce|case|null|true|false|array)\b|\s+[\w.]+\s*(?:,|$|\(|\bfrom\b|\bas\b|::|is\b|\+)|\s*$)`,
		`with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?as\s+(?:not\s+)?(?:materialized\s+)?\(`,
		`insert\s+into\b`, `delete\s+from\b`, `merge\s+into\b`, `update\s+(?:only\s+)?[\w."$%]+\s+(?:as\s+\w+\s+)?set\b`, `update\s+(?:only\s+)?["%]`,
		`(?:create|alter|drop)\s+(?:or\s+replace\s+)?(?:(?:unique|temp|temporary|unlogged|materialized|foreign|event|recursive|global|local)\s+)*(?:table|schema|database|role|user|group|index|view|function|procedure|policy|trigger|type|extension|sequence|publication|subscription|domain|aggregate|server|owned|default\s+privileges|language|operator|rule|tablespace|statistics|collation|system)\b\s+(?:if\s|concurrently\s|on\s|[\w".%$]+(?:\s*[;(,]|\s*$|\s+(?:as|on|for|to|add|drop|alter|set|reset|rename|owner|enable|disable|force|no|login|password|with|cascade|restrict|template|returns|in|by|from|using|authorization|current_user)\b)|$)`,
		`(?:create|alter|drop)\s+(?:table|schema|database|role|user|index|view|function|policy|extension)\s*$`,
		`(?:grant|revoke)\s+[\w\s,()*%]+\s(?:on|to|from)\s`,
		`truncate\s+(?:table\s+)?[\w".%]+\s*(?:,|$|;|cascade|restart)`,
		`set\s+(?:local|session|constraints|transaction|role|search_path)\s+[\w.%"]+`, `set\s+[\w.]+\s*=`, `set\s+\w+\.\w+\s+to\b`, `reset\s+(?:all|role|session\s+authorization|[a-z]+_\w+)\s*;?$`,
		`show\s+[a-z]+_\w+\s*;?$`, `show\s+all\s*;?$`,
		`(?:begin|commit|rollback|abort|end)(?:\s+(?:work|transaction))?\s*;?$`, `(?:start|begin|commit|rollback|prepare)\s+(?:transaction|work|prepared|isolation|read\s+only)\b`, `rollback\s+to\b`, `savepoint\s+\w+`, `release\s+savepoint\b`,
		`lock\s+table\b`, `copy\s+(?:[\w".%]+\s*(?:\([^)]*\)\s*)?|\(.*\)\s*)(?:from|to)\s+(?:stdin|stdout|program|'|%)`, `(?:un)?listen\s+(?:[\w"%]+|\*)\s*;?$`, `notify\s+\w+\s*(?:,\s*'|;?$)`,
		`call\s+[\w.]+\(`, `do\s+(?:language\s+\w+\s+)?\$`, `vacuum\b`, `analyze\s+[\w.]+\s*;?$`, `explain\s*(?:\(|analyze\b|select\b)`, `(?:declare|fetch|close)\s+\w+.*\bcursor\b`,
		`deallocate\b`, `discard\s+(?:all|plans|temp|sequences)\b`, `comment\s+on\b`, `reindex\b`, `refresh\s+materialized\b`, `reassign\s+owned\b`, `security\s+label\b`, `values\s*\(`, `table\s+[\w."%]+\s*[*;)]?\s*;?$`, `table\s+[\w."%]+\s+(?:limit\s+[\d$]|order\s+by|offset\s+[\d$]|fetch\s+(?:first|next)|union|except|intersect|for\s+(?:update|share))\b`,
	}, "|") + `)`)
	sqlInside = regexp.MustCompile(`(?is)` + strings.Join([]string{
		`\bfrom\s+[\w".%]+\s+(?:as\s+\w+\s+)?(?:where|order\s+by|group\s+by|(?:inner|left|right|full|cross)\s+(?:outer\s+)?join|join\s+\w+|limit\s+[\d$])\b`,
		`\bwhere\s+(?:not\s+)?[\w".]+\s*(?:=|<>|!=|<=?|>=?|\bin\s*\(|\bis\s+(?:not\s+)?null|\bi?like\s|\bbetween\s+\S+\s+and\b)`,
		`\b(?:order|group)\s+by\s+["\w]+(?:\.["\w]+)?\s*(?:,|$|asc\b|desc\b|limit\b)`, `\bon\s+conflict\s*(?:\(|do\b|on\s+constraint)`, `\bunion\s+(?:all\s+)?select\b`, `\bjoin\s+(?:lateral\s+)?[\w".]+\s+(?:as\s+)?(?:\w+\s+)?(?:on\s+[\w".]+\s*(?:=|<|>)|using\s*\()`,
		`\btenant_id\s*(?:=|<>|!=|in\s*\()`, `\bcurrent_setting\s*\(`, `\bset_config\s*\(`, `\bgen_random_uuid\s*\(`, `\$\d+::\w+`, `\benter_tenant\s*\(`,
		`;\s*(?:select|insert|update|delete|drop|create|alter|begin|commit|rollback|set)\s`,
	}, "|"))
)

// looksLikeSQL tells statements and pieces of them from prose. What wraps an error
// is prose.
func looksLikeSQL(text string) bool {
	return !strings.Contains(text, "%w") && (sqlStart.MatchString(text) || sqlInside.MatchString(text))
}

func TestSQLIsToldFromProse(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"select 1", "SELECT * FROM products", "  select id, name from t", "(select 1)", "-- a comment\nselect id from t", "select $1", "select count(*) from t", "select t.id from t",
		"Select Distinct x", "with a as (select 1) select * from a", "insert into t values (1)", "INSERT\n INTO t default values", "update products set stock = 1", "update %s set x = 1",
		"delete from products", "delete from %s", "merge into t using s", "create table t (x integer)", "create unique index on t (x)", "drop table t", "drop schema %s cascade", "alter role x password 'y'",
		"alter table t add x integer", "create database ", "create database %s", "create extension if not exists x", "grant select on t to r", "revoke all on t from r", "grant %s to %s", "truncate products", "truncate table t",
		"set local app.tenant_id = 'x'", "set role x", "set search_path = shared", "SET search_path TO x", "reset role", "reset all", "show server_version", "begin", "COMMIT", "rollback;",
		"start transaction", "begin read only", "lock table t", "copy t from stdin", "copy (select 1) to stdout", "listen changes", "notify changes", "call f()", "do $$ begin end $$", "vacuum analyze t",
		"explain select 1", "deallocate all", "discard all", "comment on table t is 'x'", "savepoint a", " where id = $1", " order by name desc", " and tenant_id = ", "1; drop table t", "values (1)", "table products", "TABLE products LIMIT 1", "table shared.products order by name", "(table products)", "table products;",
		" from products where x", "coalesce(current_setting('app.tenant_id', true), '')", "on conflict do nothing", "select pg_sleep(1)", "select exists (select 1)", "select name as n", " join t as u on u.id = t.id", " left join t using (id)",
	} {
		if !looksLikeSQL(sql) {
			t.Errorf("not seen as SQL: %q", sql)
		}
	}
	for _, prose := range []string{
		"", "Set it with --data.", "set the password of %s", "create the database cluster: %w", "create database %s: %w", "Select a tenant.", "Show which roles there are.", "show", "Update the server.", "Delete the file and start again.",
		"Create a tenant.", "Drop a file here.", "lock the directory", "copy the template", "copy the template: %w: %s", "Begin a session.", "begin the check", "the end", "from here to there", "where the tenant lives",
		"Listen on another address.", "Do it again.", "Values of the input.", "Grant it a role.", "with as few as possible", "Call the operator.", "Choose one from the list where you can.", "Set a name to use.", "Use what the release notes say.",
		"commit: %w", "set x to y", "release", "Analyze the plan.", "Table of contents", "table %s has no tenant_id", "table products (alias p) is not tied", "the table products", "The order is by name, the group by date.", "Install one with `", "update product", "select * over a USING: name the columns",
	} {
		if looksLikeSQL(prose) {
			t.Errorf("seen as SQL: %q", prose)
		}
	}
}
