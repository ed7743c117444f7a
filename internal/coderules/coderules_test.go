// Package coderules holds the program's own source to the rules that keep tenants
// apart and that no compiler knows: who reaches a pool, where SQL stands, how it is
// sent, and where the id of a tenant comes from. Each rule is a function from a
// package to its violations, has its exceptions listed with a reason, and is shown
// a violation of each kind.
package coderules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/commonhold/commonhold/"

// pack is a type-checked package of the program, without its tests.
type pack struct {
	path  string // below the module; "" is the schema's
	files []*ast.File
	types *types.Package
	info  *types.Info
	fset  *token.FileSet
}

// violation is a place where a rule is broken.
type violation struct {
	pos  token.Position
	site string // what an exception is listed under: package and outermost declaration, Type.Method for a method
	path string // the package by itself, under which a whole one is excepted
	says string // what is wrong, and what to do instead
}

// exception is why a site, or a whole package, may break a rule, and how often it does.
type exception struct {
	times int // anyNumber: once or more
	why   string
}

const anyNumber = -1

// rule is one of the rules.
type rule struct {
	name     string
	check    func(*pack) []violation
	excepted map[string]exception
}

// against lists what of the violations is not excepted, and the exceptions that are
// out of date.
func (r rule) against(found []violation) (wrong []string) {
	counts := make(map[string]int)
	for _, v := range found {
		counts[v.site]++
		counts[v.path]++
	}
	for _, v := range found {
		e, ok := r.excepted[v.site]
		n := counts[v.site]
		if whole, excepted := r.excepted[v.path]; excepted {
			e, ok, n = whole, true, counts[v.path]
		}
		if !ok || e.times != anyNumber && n > e.times {
			wrong = append(wrong, fmt.Sprintf("%s: %s: %s (site %q)", v.pos, r.name, v.says, v.site))
		}
	}
	for site, e := range r.excepted {
		if n := counts[site]; n < e.times || n == 0 {
			wrong = append(wrong, fmt.Sprintf("%s: the exception of %q is stale: it allows %d, there are %d", r.name, site, e.times, n))
		}
		if len(e.why) < 20 {
			wrong = append(wrong, fmt.Sprintf("%s: the exception of %q has no reason", r.name, site))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// rules are all there are.
var rules = []rule{poolRule, textRule, builtRule, argumentRule, protocolRule, makeRule, decodeRule, requestRule, platformRule, callerRule, sourceRule, toldRule}

// The program keeps its rules, but for the exceptions.
func TestProgramKeepsTheRules(t *testing.T) {
	t.Parallel()
	program := load(t)
	for _, r := range rules {
		var found []violation
		for _, p := range program.packs {
			found = append(found, r.check(p)...)
		}
		for _, wrong := range r.against(found) {
			t.Error(wrong)
		}
	}
}

// planted is source that breaks rules: a comment "// breaks: NAME" marks each line
// that must be found by the rule of that name, and nothing else may be found.
type planted struct {
	path   string // of the package it pretends to be
	source string
}

// What the test above is there for, planted.
func TestRulesFindWhatWasPlanted(t *testing.T) {
	t.Parallel()
	program := load(t)
	shown := make(map[string]int)
	for i, plant := range plants {
		p, err := program.compile(plant.path, map[string][]byte{fmt.Sprintf("planted%d.go", i): []byte(plant.source)})
		if err != nil {
			t.Errorf("planted source %d does not compile: %v", i, err)
			continue
		}
		var want, got []string
		for n, line := range strings.Split(plant.source, "\n") {
			if _, names, ok := strings.Cut(line, "// breaks: "); ok {
				for name := range strings.SplitSeq(names, ", ") {
					want = append(want, fmt.Sprintf("%d %s", n+1, name))
				}
			}
		}
		for _, r := range rules {
			for _, v := range r.check(p) {
				got = append(got, fmt.Sprintf("%d %s", v.pos.Line, r.name))
				shown[r.name]++
				if len(v.says) < 40 || v.site == "" {
					t.Errorf("%s: %q at %q gives no advice", r.name, v.says, v.site)
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("planted source %d: found %q, want %q", i, got, want)
		}
	}
	for _, r := range rules {
		if shown[r.name] == 0 {
			t.Errorf("%s was shown nothing", r.name)
		}
	}
}

// An exception allows as much as it says, and goes when it is not needed.
func TestExceptionsAreExact(t *testing.T) {
	t.Parallel()
	at := func(site string, n int) (found []violation) {
		for range n {
			found = append(found, violation{site: site, path: "a", says: "wrong"})
		}
		return found
	}
	r := rule{name: "r", excepted: map[string]exception{"a.f": {2, "a reason that says enough"}}}
	for _, c := range []struct {
		found []violation
		wrong int
	}{
		{at("a.f", 2), 0},
		{at("a.f", 3), 3},
		{at("a.f", 1), 1},
		{nil, 1},
		{append(at("a.f", 2), at("a.g", 1)...), 1},
	} {
		if wrong := r.against(c.found); len(wrong) != c.wrong {
			t.Errorf("%d violations: %q, want %d complaints", len(c.found), wrong, c.wrong)
		}
	}
	whole := rule{name: "r", excepted: map[string]exception{"a": {anyNumber, "a reason that says enough"}}}
	if wrong := whole.against(append(at("a.f", 3), at("a.g", 1)...)); len(wrong) != 0 {
		t.Errorf("a whole package: %q", wrong)
	}
	if wrong := whole.against(nil); len(wrong) != 1 {
		t.Errorf("a whole package that needs no exception: %q", wrong)
	}
	r.excepted["a.f"] = exception{2, "because"}
	if len(r.against(at("a.f", 2))) != 1 {
		t.Error("an exception without a reason passed")
	}
}

// program is the whole program, and what it takes to compile more.
type program struct {
	packs    []*pack
	importer types.Importer
	fset     *token.FileSet
}

// loadOnce type-checks the program, for all tests together.
var loadOnce = sync.OnceValues(loadProgram)

func load(t *testing.T) *program {
	t.Helper()
	p, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func loadProgram() (*program, error) {
	command := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles", "./...")
	command.Dir = filepath.Join("..", "..")
	out, err := command.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("go list: %w: %s", err, failed.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
	}
	exports := make(map[string]string)
	var own []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg listed
		if err := decoder.Decode(&pkg); err != nil {
			return nil, err
		}
		exports[pkg.ImportPath] = pkg.Export
		if strings.HasPrefix(pkg.ImportPath+"/", module) && len(pkg.GoFiles) > 0 {
			own = append(own, pkg)
		}
	}
	p := &program{fset: token.NewFileSet()}
	p.importer = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("the program does not use %s", path)
		}
		return os.Open(exports[path])
	})
	for _, pkg := range own {
		// What a test opens decides how long its result is good for: a new file or
		// directory here must make this one run again.
		for _, dir := range []string{pkg.Dir, filepath.Dir(pkg.Dir)} {
			if _, err := os.ReadDir(dir); err != nil {
				return nil, err
			}
		}
		path := strings.TrimSuffix(strings.TrimPrefix(pkg.ImportPath+"/", module), "/")
		if generated(path) {
			continue
		}
		sources := make(map[string][]byte)
		for _, name := range pkg.GoFiles {
			file := filepath.Join(pkg.Dir, name)
			if sources[file], err = os.ReadFile(file); err != nil {
				return nil, err
			}
		}
		compiled, err := p.compile(path, sources)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		p.packs = append(p.packs, compiled)
	}
	if len(p.packs) < 15 {
		return nil, fmt.Errorf("go list named only %d packages", len(p.packs))
	}
	return p, nil
}

// generated tells the packages that nobody writes; that they are fresh is a test of
// its own.
func generated(path string) bool {
	return strings.HasPrefix(path, "sqlc/") || path == "graph/generated"
}

// compile parses and type-checks one package.
func (p *program) compile(path string, sources map[string][]byte) (*pack, error) {
	made := &pack{path: path, fset: p.fset, info: &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object),
		Instances: make(map[*ast.Ident]types.Instance),
	}}
	for name, source := range sources {
		file, err := parser.ParseFile(p.fset, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		made.files = append(made.files, file)
	}
	config := types.Config{Importer: p.importer}
	var err error
	made.types, err = config.Check(module+path, p.fset, made.files, made.info)
	return made, err
}

// each calls visit for every node of the package, with the outermost declaration
// that it stands in.
func (p *pack) each(visit func(site string, n ast.Node)) {
	for _, file := range p.files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				p.walk(p.path+"."+receiver(d)+d.Name.Name, d, visit)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						p.walk(p.path+"."+s.Names[0].Name, s, visit)
					case *ast.TypeSpec:
						p.walk(p.path+"."+s.Name.Name, s, visit)
					}
				}
			}
		}
	}
}

// receiver is the type that a method belongs to, and a dot.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	e := d.Recv.List[0].Type
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.Ident:
			return t.Name + "."
		default:
			return ""
		}
	}
}

func (p *pack) walk(site string, n ast.Node, visit func(string, ast.Node)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if n != nil {
			visit(site, n)
		}
		return true
	})
}

// at makes a violation.
func (p *pack) at(site string, n ast.Node, format string, args ...any) violation {
	return violation{p.fset.Position(n.Pos()), site, p.path, fmt.Sprintf(format, args...)}
}

// text is the value of a constant string.
func (p *pack) text(e ast.Expr) (string, bool) {
	if v := p.info.Types[e].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v), true
	}
	return "", false
}

// called is the function or method that is called, nil for a call of a value or a
// conversion.
func (p *pack) called(call *ast.CallExpr) *types.Func {
	name := calledName(call)
	if name == nil {
		return nil
	}
	fn, _ := p.info.Uses[name].(*types.Func)
	return fn
}

// calledName is the name that is called, nil for what has none.
func calledName(call *ast.CallExpr) *ast.Ident {
	f := ast.Unparen(call.Fun)
	switch generic := f.(type) { // with its types given
	case *ast.IndexExpr:
		f = generic.X
	case *ast.IndexListExpr:
		f = generic.X
	}
	switch f := f.(type) {
	case *ast.Ident:
		return f
	case *ast.SelectorExpr:
		return f.Sel
	}
	return nil
}

// named is the package path and name of a type, through pointers; "" for one
// without a name.
func named(t types.Type) string {
	for {
		switch u := types.Unalias(t).(type) {
		case *types.Pointer:
			t = u.Elem()
			continue
		case *types.Named:
			if u.Obj().Pkg() == nil {
				return u.Obj().Name()
			}
			return u.Obj().Pkg().Path() + "." + u.Obj().Name()
		}
		return ""
	}
}
