package coderules

import (
	"go/ast"
	"go/types"
)

// Ids come from the system's randomness. The hook that lets a test choose them is in
// the program, so that nothing of the program may use it.
var sourceRule = rule{name: "id-source", check: sourcesSet, excepted: map[string]exception{}}

func sourcesSet(p *pack) (found []violation) {
	p.each(func(site string, n ast.Node) {
		name, ok := n.(*ast.Ident)
		if !ok {
			return
		}
		if fn, ok := p.info.Uses[name].(*types.Func); ok && fn.FullName() == module+"internal/id.SetSource" {
			found = append(found, p.at(site, name, "who chooses where ids come from can guess those of others; that is for tests alone"))
		}
	})
	return found
}
