package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/commonhold/commonhold/internal/fault"
)

// completionCmd prints what a shell reads at its start. From then on it asks this program,
// through COMP_LINE, what could come next.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Which shell: bash, zsh or fish."`
}

// completions are the scripts, in which BIN is this program.
var completions = map[string]string{
	"bash": "complete -C BIN commonhold\n",
	"zsh":  "autoload -U +X bashcompinit && bashcompinit\ncomplete -C BIN commonhold\n",
	"fish": `function __complete_commonhold
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct); and set COMP_LINE "$COMP_LINE "
    BIN
end
complete -f -c commonhold -a "(__complete_commonhold)"
`,
}

func (c *completionCmd) Run(con console) error {
	program, err := os.Executable()
	if err != nil {
		return fault.New(fault.Internal, "Where this program is cannot be told.").Because(err)
	}
	_, err = fmt.Fprint(con.out, strings.ReplaceAll(completions[c.Shell], "BIN", quoted(program)))
	return err
}
