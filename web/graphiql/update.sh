#!/bin/sh
# Refreshes the vendored GraphiQL: vendored/*.gz and LICENSES.
#
# Each package is pinned to a version and to the SHA-512 of its tarball, so the
# same script makes the same bytes anywhere. To move to another release, change
# the version, take the new hash from "npm view NAME@VERSION dist.integrity",
# run the script, and write the versions into README.md.
#
# Needs npm, node, openssl and gzip. The build itself needs none of them: what
# this script writes is committed.
set -eu
cd "$(dirname "$0")"

GRAPHIQL=graphiql@4.1.2
GRAPHIQL_SHA512=rNlzQIAzm6i2KBXmVQWBgLvt0TloxFVB2d18bukvdsvjEuFDHsKx5IVOomL1W1o5WW+tE54+ioHb2AEKzO2cUg==
REACT=react@18.3.1
REACT_SHA512=wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ==
REACT_DOM=react-dom@18.3.1
REACT_DOM_SHA512=5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw==
# Only for its licence text: GraphiQL's style sheet holds the font.
FIRA_CODE=@fontsource/fira-code@5.3.0
FIRA_CODE_SHA512=EJL968RJRkakubAj/coU8pSUaeTE5UNoRjtzAr6kGiSZ3jWuN8/AKWHwym/PFUaQL1q7IL/H+EXs4358YhrTBQ==

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# unpack NAME@VERSION SHA512 DIRECTORY
unpack() {
	tarball=$(cd "$work" && npm pack --silent "$1")
	got=$(openssl dgst -sha512 -binary "$work/$tarball" | openssl base64 -A)
	if [ "$got" != "$2" ]; then
		echo "update.sh: $1 has the hash $got, not the pinned $2: do not use it" >&2
		exit 1
	fi
	mkdir "$work/$3"
	tar -xzf "$work/$tarball" -C "$work/$3" --strip-components=1
}
unpack "$GRAPHIQL" "$GRAPHIQL_SHA512" graphiql
unpack "$REACT" "$REACT_SHA512" react
unpack "$REACT_DOM" "$REACT_DOM_SHA512" react-dom
unpack "$FIRA_CODE" "$FIRA_CODE_SHA512" fira-code

# -n keeps name and time out of the file, so that it only changes with its content.
mkdir -p vendored
gzip -9nc "$work/graphiql/graphiql.min.js" >vendored/graphiql.min.js.gz
gzip -9nc "$work/graphiql/graphiql.min.css" >vendored/graphiql.min.css.gz
gzip -9nc "$work/react/umd/react.production.min.js" >vendored/react.production.min.js.gz
gzip -9nc "$work/react-dom/umd/react-dom.production.min.js" >vendored/react-dom.production.min.js.gz

# The GraphiQL bundle contains other packages; its source map names them. Their
# licence texts come from an installation of its dependencies.
(cd "$work" && mkdir tree && cd tree && npm init -y >/dev/null &&
	npm install --silent --ignore-scripts --no-audit --no-fund "$GRAPHIQL" "$REACT" "$REACT_DOM" graphql@16)
node - "$work" >LICENSES <<'JS'
const fs = require("fs"), path = require("path");
const work = process.argv[2], tree = path.join(work, "tree/node_modules");
const map = JSON.parse(fs.readFileSync(path.join(work, "graphiql/graphiql.min.js.map")));
const names = new Set(["graphiql", "react", "react-dom", "scheduler", "@graphiql/react", "@graphiql/toolkit",
  "@graphiql/plugin-history", "@graphiql/plugin-doc-explorer", "codemirror-graphql", "graphql-language-service"]);
for (const source of map.sources) {
  const at = source.lastIndexOf("node_modules/");
  if (at < 0) continue;
  const parts = source.slice(at + 13).split("/");
  names.add(parts[0].startsWith("@") ? parts[0] + "/" + parts[1] : parts[0]);
}
// A dependency may have been dropped since the bundle was made: install it by name.
const missing = [...names].filter((name) => !fs.existsSync(path.join(tree, name)));
if (missing.length) require("child_process").execFileSync("npm",
  ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps", ...missing],
  { cwd: path.join(work, "tree"), stdio: ["ignore", "ignore", "inherit"] });
const texts = new Map();
const add = (text, name) => texts.set(text, [...(texts.get(text) || []), name]);
for (const name of [...names].sort()) {
  const dir = path.join(tree, name);
  const about = JSON.parse(fs.readFileSync(path.join(dir, "package.json")));
  const file = fs.readdirSync(dir).find((f) => /^(licen[cs]e|copying)/i.test(f));
  const author = typeof about.author === "string" ? about.author : (about.author || {}).name;
  const text = file ? fs.readFileSync(path.join(dir, file), "utf8").replace(/\r\n/g, "\n").trim()
    : `Released under the ${about.license} licence${author ? " by " + author : ""}; the package has no licence file.`;
  add(text, `${name} (${about.license})`);
}
add(fs.readFileSync(path.join(work, "fira-code/LICENSE"), "utf8").trim(), "Fira Code, a font in graphiql.min.css (OFL-1.1)");
add("Apache License, Version 2.0: the text is in the LICENSE file at the root of this repository.",
  "Roboto 2.137, a font in graphiql.min.css (Apache-2.0), copyright 2011 Google Inc.");
console.log("Licences of what the vendored files contain. Written by update.sh.\n");
for (const [text, who] of texts) console.log("=".repeat(78) + "\n" + who.join("\n") + "\n" + "-".repeat(78) + "\n" + text + "\n");
JS
ls -l vendored LICENSES
