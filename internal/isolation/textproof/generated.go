package textproof

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tenantPackage is where the type of a tenant's id comes from.
const tenantPackage = "github.com/commonhold/commonhold/internal/tenant"

// ReadQueries reads the statements of a package that sqlc generated, in the directory
// generated of files ("sqlc/tenantsql"), with the parameter that is the tenant, and
// holds them against the sources in the directory queries ("queries/tenant").
//
// It fails on code that could run any other text: a text that is not one literal
// constant, a call that is not q.db.Query, QueryRow or Exec of such a constant with
// fields of the parameters, a file that sqlc makes for other purposes. Errors are
// joined, one line each.
func ReadQueries(files fs.FS, generated, queries string) ([]Query, error) {
	names, err := fs.Glob(files, generated+"/*.go")
	if err != nil {
		return nil, err
	}
	var all []Query
	var problems []error
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read generated code: %w", err)
		}
		r := &reader{file: name, queries: queries}
		switch base := path.Base(name); {
		case base == "db.go" || base == "models.go":
			ast.Inspect(parsed, func(n ast.Node) bool {
				if _, ok := n.(*ast.CallExpr); ok {
					r.refuse("", "%s calls something: it is only to declare what the others use", base)
				}
				return true
			})
		case strings.HasSuffix(base, ".sql.go"):
			r.read(parsed)
		default:
			r.refuse("", "the proof does not know what this file runs: use :one, :many, :exec or :execrows")
		}
		all = append(all, r.found...)
		problems = append(problems, r.problems...)
	}
	stale, err := differences(files, queries, all)
	if err != nil {
		return nil, err
	}
	return all, errors.Join(append(problems, stale...)...)
}

var nameLine = regexp.MustCompile(`(?m)^\s*--\s*name:\s*(\w+)`)

// differences tells where sources and generated code do not have the same queries.
func differences(files fs.FS, queries string, found []Query) (problems []error, err error) {
	sources, err := fs.Glob(files, queries+"/*.sql")
	if err != nil {
		return nil, err
	}
	written := map[[2]string]bool{}
	for _, source := range sources {
		text, err := fs.ReadFile(files, source)
		if err != nil {
			return nil, err
		}
		for _, match := range nameLine.FindAllSubmatch(text, -1) {
			written[[2]string{source, string(match[1])}] = true
		}
	}
	for _, q := range found {
		if !written[[2]string{q.File, q.Name}] {
			problems = append(problems, &RefusalError{q.File, q.Name, "generated, but not written there: run make generate"})
		}
		delete(written, [2]string{q.File, q.Name})
	}
	for q := range written {
		problems = append(problems, &RefusalError{q[0], q[1], "written, but not generated: run make generate"})
	}
	return problems, nil
}

// reader reads one file of statements.
type reader struct {
	file, queries string
	found         []Query
	problems      []error
	source        string
	texts         map[string]string          // by the name of the constant
	params        map[string]*ast.StructType // by the name of the type
	tenantName    string                     // what the file calls tenantPackage
}

func (r *reader) refuse(query, format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if query == "" {
		r.problems = append(r.problems, fmt.Errorf("%s: %s", r.file, reason))
		return
	}
	r.problems = append(r.problems, &RefusalError{r.file, query, reason})
}

func (r *reader) read(file *ast.File) {
	r.texts, r.params = map[string]string{}, map[string]*ast.StructType{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if source, ok := strings.CutPrefix(c.Text, "// source: "); ok && r.source == "" && c.Pos() < file.Package {
				r.source = r.queries + "/" + source
			}
		}
	}
	for _, spec := range file.Imports {
		if name, _ := strconv.Unquote(spec.Path.Value); name == tenantPackage {
			r.tenantName = path.Base(tenantPackage)
			if spec.Name != nil {
				r.tenantName = spec.Name.Name
			}
		}
	}
	for _, decl := range file.Decls {
		if general, ok := decl.(*ast.GenDecl); ok {
			r.declare(general)
		}
	}
	used := map[string]bool{}
	for _, decl := range file.Decls {
		if method, ok := decl.(*ast.FuncDecl); ok {
			used[r.method(method)] = true
		}
	}
	for name := range r.texts {
		if !used[name] {
			r.refuse("", "the text %s is run by no method that could be read", name)
		}
	}
}

// declare notes constants with texts and structs of parameters.
func (r *reader) declare(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch s := spec.(type) {
		case *ast.ImportSpec:
		case *ast.TypeSpec:
			if fields, ok := s.Type.(*ast.StructType); ok && !s.Assign.IsValid() {
				r.params[s.Name.Name] = fields
			}
		case *ast.ValueSpec:
			if decl.Tok == token.CONST && len(s.Names) == 1 && len(s.Values) == 1 {
				if literal, ok := s.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					if err == nil {
						r.texts[s.Names[0].Name] = text
						continue
					}
				}
			}
			r.refuse("", "%s is not one literal text in a const: what a query runs must be readable", s.Names[0].Name)
		}
	}
}

// method reads a query's method and returns the name of the constant it runs.
func (r *reader) method(m *ast.FuncDecl) string {
	name := m.Name.Name
	var receiver string
	if m.Recv != nil && len(m.Recv.List[0].Names) == 1 {
		receiver = m.Recv.List[0].Names[0].Name
	}
	if receiver == "" || m.Body == nil {
		r.refuse(name, "this function is no query's method: only generated methods of Queries may be here")
		return ""
	}
	// The one call of the database; every other use of the receiver could be another.
	var calls []*ast.CallExpr
	uses := map[string]int{}
	ast.Inspect(m.Type, func(n ast.Node) bool {
		if param, ok := n.(*ast.Ident); ok && r.texts[param.Name] != "" {
			uses[param.Name]++ // it hides the constant
		}
		return true
	})
	ast.Inspect(m.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if on, ok := n.Fun.(*ast.SelectorExpr); ok {
				if db, ok := on.X.(*ast.SelectorExpr); ok && db.Sel.Name == "db" && isIdent(db.X, receiver) &&
					slices.Contains([]string{"Query", "QueryRow", "Exec"}, on.Sel.Name) {
					calls = append(calls, n)
				}
			}
		case *ast.Ident:
			uses[n.Name]++
		}
		return true
	})
	if len(calls) != 1 || uses[receiver] != 1 || len(calls[0].Args) < 2 || calls[0].Ellipsis.IsValid() {
		r.refuse(name, "the method must make one call of q.db.Query, QueryRow or Exec, and nothing else with q")
		return ""
	}
	call := calls[0]
	constant, ok := call.Args[1].(*ast.Ident)
	if !ok || r.texts[constant.Name] == "" || uses[constant.Name] != 1 {
		r.refuse(name, "what it runs is not a constant of this file: a text put together while running cannot be proven")
		return ""
	}
	text := r.texts[constant.Name]
	if match := nameLine.FindStringSubmatch(text); match == nil || match[1] != name {
		r.refuse(name, "its text has another name: run make generate")
	}
	q := Query{File: r.source, Name: name, SQL: text}
	if r.source == "" {
		q.File = r.file
	}
	arg, fields := r.parameters(m)
	if uses[arg] != len(call.Args)-2 {
		r.refuse(name, "it uses its parameters for more than handing them to the database")
	}
	for i, value := range call.Args[2:] {
		field, ok := value.(*ast.SelectorExpr)
		if !ok || !isIdent(field.X, arg) {
			r.refuse(name, "$%d is not a field of its parameters", i+1)
			continue
		}
		if field.Sel.Name != "TenantID" {
			continue
		}
		if q.Tenant != 0 {
			r.refuse(name, "the tenant is $%d and $%d: let it be one parameter", q.Tenant, i+1)
		}
		q.Tenant = i + 1
		if !r.isTenantID(fields) {
			r.refuse(name, "its TenantID is not a tenant.ID: let @tenant_id stand against a tenant_id column, so that sqlc gives it the type")
		}
	}
	r.found = append(r.found, q)
	return constant.Name
}

// parameters finds the struct of a method's parameters; a query without any has none.
func (r *reader) parameters(m *ast.FuncDecl) (name string, fields *ast.StructType) {
	last := m.Type.Params.List[len(m.Type.Params.List)-1]
	if of, ok := last.Type.(*ast.Ident); ok && len(last.Names) == 1 {
		return last.Names[0].Name, r.params[of.Name]
	}
	return "", nil
}

func (r *reader) isTenantID(fields *ast.StructType) bool {
	if fields == nil || r.tenantName == "" {
		return false
	}
	for _, field := range fields.Fields.List {
		if len(field.Names) == 1 && field.Names[0].Name == "TenantID" {
			of, ok := field.Type.(*ast.SelectorExpr)
			return ok && isIdent(of.X, r.tenantName) && of.Sel.Name == "ID"
		}
	}
	return false
}

func isIdent(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}
